using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>Whose log a group's log is, across replicas that come and go, power cuts and segments that roll.</summary>
public sealed class ReplicaRecordTests
{
    private static readonly SnapshotMetadata Mark = new(5, 5, 0, ConfState.Of(new ReplicaId(1)));

    private readonly MemoryFileSystem _disk = new(1);

    private WriteAheadLog Open() => WriteAheadLog.Open(_disk, "wal", LogBench.Identity, LogBench.Small);

    private static void MakeDurable(WriteAheadLog log, GroupLog group, Action<WalSubmission> fill)
    {
        var submission = new WalSubmission(_ => { });
        fill(submission);
        Assert.True(log.TrySubmit(submission));
        Assert.True(log.Gather());
        log.Write();
        log.Sync();
        log.Complete();
        group.OnDurable(submission);
    }

    private static void Append(WriteAheadLog log, GroupLog group, ulong index, ulong term) => MakeDurable(
        log, group,
        s => s.Append(group, new HardState(term, new ReplicaId(9), index - 1), [new Entry(term, index, EntryKind.Command, 1, index * 10, 1, new byte[3_000])]));

    [Fact]
    public void A_replica_that_is_gone_stays_gone_and_the_next_one_starts_with_nothing()
    {
        var first = new ReplicaRecord(new ReplicaId(1), 1);
        var second = new ReplicaRecord(new ReplicaId(7), 4);
        using (WriteAheadLog log = Open())
        {
            GroupLog group = log.OpenGroup(3, Mark, first);
            Append(log, group, 6, term: 6);
            Append(log, group, 7, term: 6);
            Assert.Equal(new HardState(6, new ReplicaId(9), 6), group.DurableHardState);
        }

        _disk.Crash(CrashMode.LoseUnsynced);
        using (WriteAheadLog log = Open())
        {
            Assert.Equal(first, log.Found[3]);
            GroupLog group = log.OpenGroup(3, Mark);
            Assert.Equal((7UL, new HardState(6, new ReplicaId(9), 6)), (group.LastIndex, group.RecoveredHardState));
            MakeDurable(log, group, s => s.Vacate(group, epoch: 3));
            Assert.Equal(0, group.LiveBytes);
        }

        _disk.Crash(CrashMode.LoseUnsynced);
        using (WriteAheadLog log = Open())
        {
            Assert.Equal(new ReplicaRecord(ReplicaId.None, 3), log.Found[3]);
            GroupLog group = log.NewGroup(3, second);
            Assert.Equal((1UL, 0UL, default), (group.FirstIndex, group.LastIndex, group.RecoveredHardState));
            Append(log, group, 1, term: 8);
        }

        _disk.Crash(CrashMode.LoseUnsynced);
        using (WriteAheadLog log = Open())
        {
            Assert.Equal(second, log.Found[3]);
            GroupLog group = log.OpenGroup(3, Mark);
            Assert.Equal((1UL, 8UL), (group.LastIndex, group.Term(1)));
            Assert.Equal(new HardState(8, new ReplicaId(9), 0), group.RecoveredHardState);
        }
    }

    [Fact]
    public void What_is_known_of_replicas_outlives_the_segments_it_was_written_in()
    {
        using (WriteAheadLog log = Open())
        {
            GroupLog gone = log.OpenGroup(1, Mark, new ReplicaRecord(new ReplicaId(1), 1));
            Append(log, gone, 6, term: 6);
            MakeDurable(log, gone, s => s.Vacate(gone, epoch: 2));
            GroupLog busy = log.OpenGroup(2, Mark, new ReplicaRecord(new ReplicaId(2), 1));
            for (ulong index = 6; index < 200; index++)
            {
                Append(log, busy, index, term: 6);
                SnapshotMetadata snapshot = new(index, 6, index * 10, Mark.Configuration);
                MakeDurable(log, busy, s => s.Compact(busy, snapshot, "some.snap", index + 1));
            }
        }

        using WriteAheadLog again = Open();
        Assert.Equal(new ReplicaRecord(ReplicaId.None, 2), again.Found[1]);
        Assert.Equal(new ReplicaRecord(new ReplicaId(2), 1), again.Found[2]);
    }
}
