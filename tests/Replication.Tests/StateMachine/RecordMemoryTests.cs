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

/// <summary>What these tests measure is of the whole process: nothing else runs beside them.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
