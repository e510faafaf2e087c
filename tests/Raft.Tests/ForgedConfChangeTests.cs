using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests;

/// <summary>
/// Configuration entries that no leader of ours would propose, or that another change has made invalid since. Whether a change
/// counts is decided when it is applied, by the configuration in force there, so that all replicas decide alike.
/// </summary>
public sealed class ForgedConfChangeTests
{
    private static readonly ConfChange EnterJoint = Change(ConfTransition.JointExplicit, (ConfChangeKind.Remove, 3));

    public static TheoryData<string, ConfChange[], string> Forged() => new()
    {
        { "leaves what is not joint", [ConfChange.LeaveJoint], "voters 1 2 3" },
        { "leaves twice", [EnterJoint, ConfChange.LeaveJoint, ConfChange.LeaveJoint], "voters 1 2" },
        { "enters twice", [EnterJoint, Change(ConfTransition.JointExplicit, (ConfChangeKind.Remove, 2))], "voters 1 2 and 1 2 3" },
        { "moves a voter while joint", [EnterJoint, Change(ConfTransition.Auto, (ConfChangeKind.AddVoter, 4))], "voters 1 2 and 1 2 3" },
        { "adds nobody", [Change(ConfTransition.Auto, (ConfChangeKind.AddVoter, 0))], "voters 1 2 3" },
        {
            "follows an older table",
            [Change(ConfTransition.Auto, (ConfChangeKind.Remove, 3)) with { Epoch = 5 }, Change(ConfTransition.Auto, (ConfChangeKind.AddVoter, 3)) with { Epoch = 4 }],
            "voters 1 2, by table 5"
        },
        {
            "follows no table after one that did",
            [EnterJoint with { Epoch = 5 }, ConfChange.LeaveJoint],
            "voters 1 2 and 1 2 3, by table 5"
        },
        {
            "leaves no voter",
            [Change(ConfTransition.Auto, (ConfChangeKind.Remove, 1), (ConfChangeKind.Remove, 2), (ConfChangeKind.AddLearner, 3))],
            "voters 1 2 3"
        },
    };

    [Theory]
    [MemberData(nameof(Forged))]
    public void Every_replica_ignores_an_invalid_change_alike(string name, ConfChange[] changes, string expected)
    {
        TestCluster cluster = WithLog([.. changes.Select(change => change.Encode())]);
        TestReplica leader = cluster.Elect(1);
        leader.Do(node => node.StartRound(1));
        cluster.Run();
        AssertAll(cluster, name, expected);

        // Again from their disks, one of them from a snapshot.
        cluster[2].TakeSnapshot();
        cluster[2].Disk.CompactTo(cluster[2].Disk.Snapshot.Index);
        foreach (TestReplica replica in cluster.Replicas)
        {
            replica.Crash();
            replica.Restart();
        }

        cluster.Elect(2).Do(node => node.StartRound(2));
        cluster.Run();
        AssertAll(cluster, name, expected);
    }

    [Fact]
    public void An_ignored_change_does_not_stand_in_the_way_of_the_next_one()
    {
        TestCluster cluster = WithLog([ConfChange.LeaveJoint.Encode()]);
        TestReplica leader = cluster.Elect(1);
        leader.Do(node => Assert.Equal(
            ProposeOutcome.Accepted,
            node.ProposeConfChange(Change(ConfTransition.Auto, (ConfChangeKind.Remove, 3))).Outcome));
        cluster.Run();
        Assert.Equal("voters 1 2", Text.Of(leader.Node.Configuration));
    }

    /// <summary>To skip what others might understand would make configurations differ, so nobody goes on.</summary>
    [Fact]
    public void A_change_that_cannot_be_read_stops_every_replica()
    {
        TestCluster cluster = WithLog([[9, 9, 9, 9]]);
        Assert.Throws<InvariantViolationException>(() => cluster.Elect(1));
        foreach (ulong id in new ulong[] { 2, 3 })
        {
            Assert.Throws<InvariantViolationException>(() => cluster[id].Receive(
                new Heartbeat(new ReplicaId(1), new ReplicaId(id), cluster[1].Node.Term, Commit: 2, Round: 1)));
        }
    }

    /// <summary>Three replicas with one log: a command and then these configuration entries.</summary>
    private static TestCluster WithLog(byte[][] changes)
    {
        var cluster = new TestCluster();
        Entry[] log =
        [
            LoneReplica.NewEntry(1, 1),
            .. changes.Select((payload, i) => new Entry(1, (ulong)i + 2, EntryKind.ConfChange, 0, (ulong)i + 2, 1, payload)),
        ];
        for (ulong id = 1; id <= 3; id++)
        {
            cluster.Add(id, TestCluster.VotersOnly(3), prepare: disk =>
            {
                disk.Write(log);
                disk.HardState = new HardState(1, ReplicaId.None, 0);
            });
        }

        return cluster;
    }

    private static void AssertAll(TestCluster cluster, string name, string expected)
    {
        string[] members = expected.Split([' ', ',']);
        foreach (TestReplica replica in cluster.Replicas)
        {
            // A replica that was removed need not hear of it.
            if (members.Contains(replica.Id.ToString()))
            {
                Assert.True(
                    Text.Of(replica.Node.Configuration) == expected,
                    $"{name}: {replica.Id} has {Text.Of(replica.Node.Configuration)}, not {expected}");
            }
        }
    }

    private static ConfChange Change(ConfTransition transition, params (ConfChangeKind Kind, ulong Id)[] steps) =>
        new(transition, [.. steps.Select(step => new ConfChangeStep(step.Kind, new ReplicaId(step.Id)))]);
}
