using KvStore.StateMachine;

namespace KvStore.Replication.Tests.StateMachine;

public sealed class ExpiryQueueTests
{
    /// <summary>Beside a sorted set: whatever is added and removed, the same comes first.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void It_gives_what_a_sorted_set_gives(int seed)
    {
        var random = new Random(seed);
        var queue = new ExpiryQueue();
        var twin = new SortedSet<Expiry>();
        var slots = new List<(int Slot, Expiry Expiry)>();
        for (int step = 0; step < 20_000; step++)
        {
            int choice = random.Next(step < 10_000 ? 5 : 3);
            if (choice >= 2 || slots.Count == 0)
            {
                // Times are nearly ascending and often equal, as in a group's log.
                var expiry = new Expiry(
                    (ulong)((step / 50) + random.Next(100)), random.Next(4), new RequestKey((UInt128)random.Next(8), (ulong)step), random.Next(2) == 0);
                slots.Add((queue.Add(expiry), expiry));
                twin.Add(expiry);
            }
            else if (choice == 1)
            {
                int at = random.Next(slots.Count);
                queue.Remove(slots[at].Slot);
                twin.Remove(slots[at].Expiry);
                slots.RemoveAt(at);
            }
            else
            {
                Expiry first = queue.Min;
                queue.RemoveMin();
                twin.Remove(first);
                slots.RemoveAll(slot => slot.Expiry == first);
            }

            Assert.Equal(twin.Count, queue.Count);
            if (twin.Count > 0)
            {
                Assert.Equal(twin.Min, queue.Min);
            }
        }
    }
}
