using KvStore.Protocol;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>What idempotency records are charged with is about what they take: a limit on memory rests on it.</summary>
[Collection(nameof(Alone))]
public sealed class RecordMemoryTests
{
    [Theory]
    [InlineData(30_000)]
    [InlineData(90_000)]
    public void The_charge_for_records_is_within_a_third_of_what_they_take(int count)
    {
        var records = new IdempotencyRecords();
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 1; i <= count; i++)
        {
            records.Add(i % 16, new RequestKey((UInt128)i, 0), new IdempotencyRecord((ulong)i, default, ExecutedOutcome.Done((ulong)i, changed: true)));
        }

        long taken = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.InRange(records.Bytes, taken * 2 / 3, taken * 4 / 3);
        records.Trim(ulong.MaxValue);
        Assert.Equal(0, records.Bytes);
    }

    [Fact]
    public void So_is_the_charge_for_floors()
    {
        const int Clients = 50_000;
        var records = new IdempotencyRecords();
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 1; i <= Clients; i++)
        {
            records.RaiseFloor(i % 16, (UInt128)i, below: 5, expiresMs: (ulong)i);
        }

        long taken = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.InRange(records.Bytes, taken * 2 / 3, taken * 4 / 3);
    }
}

/// <summary>What one large entry needed is given back: a node has many groups, and each would keep its largest for ever.</summary>
[Collection(nameof(Alone))]
public sealed class LargeEntryTests
{
    [Fact]
    public void SM6_nothing_of_the_size_of_an_entry_is_kept_behind_it()
    {
        const int Groups = 64;
        var groups = new List<Machine>();
        for (int i = 0; i < Groups; i++)
        {
            var group = new Machine { Level = FeatureLevel.Max };
            group.Apply(Machine.Put("k", "v"));
            group.Apply(Machine.Append("k", "w"));
            groups.Add(group);
        }

        KvRequest put = Machine.Put("k", new string('v', Limits.MaxValueBytes - 8));
        KvRequest[] large =
        [
            put,
            Machine.Append("k", "w"),
            new KvRequest { Operation = new Transaction([], [.. Enumerable.Repeat(new Get("k"u8), 2)], []), Id = Machine.Id(1, 1) },
        ];
        long before = GC.GetTotalMemory(forceFullCollection: true);
        foreach (Machine group in groups)
        {
            foreach (KvRequest request in large)
            {
                group.Apply(request);
            }
        }

        long kept = GC.GetTotalMemory(forceFullCollection: true) - before;
        GC.KeepAlive(groups);

        // The value itself is in the table.
        Assert.InRange(kept, long.MinValue, Groups * (Limits.MaxValueBytes + (512L << 10)));
    }
}

/// <summary>What these tests measure is of the whole process: nothing else runs beside them.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
