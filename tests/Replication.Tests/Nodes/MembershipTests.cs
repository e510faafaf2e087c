using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>What a group's own log says of its members, beside what the placement says.</summary>
public sealed class MembershipTests
{
    private const ulong Term = 6;
    private const ulong Table = 7;

    /// <summary>On node 4, which the placement does not give a replica of the group.</summary>
    private static readonly ReplicaId Newcomer = new(44);

    [Fact]
    public void A_member_is_found_where_the_entry_that_added_it_says()
    {
        LoneNode node = Leading(nodeOfNewcomer: 4);
        Assert.Equal(new NodeId(4), node.Replica.NodeOf(Newcomer));
        Assert.Contains(node.SentMessages(), message => message is AppendEntries && message.To == Newcomer);

        // And it is heard from there. Nothing it could have appended matches, so it is probed again.
        int before = node.Sent.Count;
        node.Hear(new AppendRejected(Newcomer, node.Replica.Id, node.Replica.View.Term, node.Replica.DurableLastIndex - 1));
        node.Turn();
        Assert.Contains(node.SentMessages().Skip(before), message => message is AppendEntries or InstallSnapshot && message.To == Newcomer);
    }

    [Fact]
    public void A_member_on_a_node_that_the_cluster_does_not_have_is_not_talked_to()
    {
        LoneNode node = Leading(nodeOfNewcomer: 99);
        Assert.Equal(new NodeId(99), node.Replica.NodeOf(Newcomer));
        Assert.DoesNotContain(node.SentMessages(), message => message.To == Newcomer);
    }

    [Theory]
    [InlineData(Table - 1, ConfChangeOutcome.OlderTable)]
    [InlineData(0, ConfChangeOutcome.OlderTable)]
    [InlineData(Table, ConfChangeOutcome.Accepted)]
    [InlineData(Table + 1, ConfChangeOutcome.Accepted)]
    public void The_proposer_of_a_change_learns_that_its_table_is_older_than_the_group_s(ulong epoch, ConfChangeOutcome expected)
    {
        LoneNode node = Leading(nodeOfNewcomer: 4);
        RaiseLevel(node);
        ConfChangeReply reply = default;
        ConfChange change = new(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.Remove, Newcomer)]) { Epoch = epoch };
        node.Store.ProposeConfChange(new GroupId(1), change, r => reply = r);
        node.Turn();
        Assert.Equal(expected, reply.Outcome);
    }

    /// <summary>
    /// A configuration that follows a table, in a group whose level is not raised: changes wait for the raise, and a joint configuration
    /// that ends by itself ends before it.
    /// </summary>
    [Fact]
    public void A_group_below_the_level_of_epochs_that_has_one_waits_with_changes_and_ends_its_joint_configuration()
    {
        LoneNode node = Leading(nodeOfNewcomer: 4, transition: ConfTransition.JointAutoLeave);
        Assert.True(node.Replica.Configuration.IsJoint);
        node.HearAcknowledgement();
        node.HearAcknowledgement();
        Assert.False(node.Replica.Configuration.IsJoint);
        Assert.Equal(FeatureLevel.First, node.Store.Groups[0].Level);

        Assert.Equal(ConfChangeOutcome.LevelTooLow, Remove().Outcome);
        RaiseLevel(node);
        Assert.Equal(ConfChangeOutcome.Accepted, Remove().Outcome);
        node.HearAcknowledgement();
        Assert.DoesNotContain(Newcomer, node.Replica.Configuration.Learners);

        ConfChangeReply Remove()
        {
            ConfChangeReply reply = default;
            ConfChange change = new(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.Remove, Newcomer)]) { Epoch = Table };
            node.Store.ProposeConfChange(new GroupId(1), change, r => reply = r);
            node.Turn();
            return reply;
        }
    }

    /// <summary>
    /// The table may give a node a place in a raised group long before it is a member, and after; and it may not name one that an entry has
    /// added. Refused is the hello of a member: the others may be voters of groups that nobody has raised.
    /// </summary>
    [Fact]
    public void An_older_build_is_refused_for_groups_it_is_a_member_of_and_not_for_places_in_a_table()
    {
        LoneNode node = Leading(nodeOfNewcomer: 4);
        RaiseLevel(node);
        ReplicaPlacement[] places = [.. new ulong[] { 1, 2, 3, 55 }.Select((id, n) => new ReplicaPlacement(id, new NodeId(n < 3 ? (uint)n + 1 : 5)))];
        node.Store.UseRouting(new RoutingTable(2, [new GroupId(1)], [[], places]));
        node.Turn();

        // Node 5 has a place and is no member, node 4 the other way round.
        Assert.Null(node.Store.OnPeerHello(new NodeId(5), 1, FeatureLevel.First));
        Assert.Contains("upgrade n4", node.Store.OnPeerHello(new NodeId(4), 2, FeatureLevel.First)!.Detail);
        Assert.Contains("upgrade n3", node.Store.OnPeerHello(new NodeId(3), 2, FeatureLevel.First)!.Detail);

        // Removed, and not gone from everybody's table yet.
        node.Store.OnPeerHello(new NodeId(4), 3, FeatureLevel.Max);
        node.Store.ProposeConfChange(
            new GroupId(1), new ConfChange(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.Remove, Newcomer)]) { Epoch = Table }, _ => { });
        node.Turn();
        node.HearAcknowledgement();
        Assert.False(node.Replica.Configuration.IsMember(Newcomer));
        Assert.Null(node.Store.OnPeerHello(new NodeId(4), 4, FeatureLevel.First));
    }

    /// <summary>
    /// Members that read no epoch must not be written one. To leave it out in silence would tell the proposer that the group follows its
    /// table, and nothing would hold an older one back: so it has to ask again, or to say that it does without.
    /// </summary>
    [Fact]
    public void A_change_with_an_epoch_or_a_node_is_refused_until_the_group_is_raised_and_can_be_asked_without()
    {
        var node = new LoneNode(nodes: 4);
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        ReplicaPlacement[] places = [.. new ulong[] { 1, 2, 3, 44 }.Select((id, n) => new ReplicaPlacement(id, new NodeId((uint)n + 1)))];
        node.Store.UseRouting(new RoutingTable(2, [new GroupId(1)], [[], places]));
        node.Turn();
        ulong last = node.Replica.DurableLastIndex;
        ConfChange add = new(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.AddLearner, Newcomer)]);
        ConfChange[] more =
        [
            add with { Epoch = Table },
            add with { Steps = [add.Steps[0] with { Node = 4 }] },
            ConfChange.LeaveJoint with { Epoch = Table },
        ];
        foreach (ConfChange change in more)
        {
            ConfChangeReply refused = Propose(change);
            Assert.Equal(ConfChangeOutcome.LevelTooLow, refused.Outcome);
            Assert.Contains("feature level 1", refused.Detail);
        }

        Assert.Equal(last, node.Replica.DurableLastIndex);
        Assert.Equal(ConfChangeOutcome.Accepted, Propose(add).Outcome);
        node.HearAcknowledgement();
        Assert.Contains(Newcomer, node.Replica.Configuration.Learners);

        RaiseLevel(node);
        Assert.Equal(ConfChangeOutcome.Accepted, Propose(ConfChange.LeaveJoint with { Epoch = Table }).Outcome);
        node.HearAcknowledgement();
        Assert.Equal(Table, node.Replica.Configuration.Epoch);

        ConfChangeReply Propose(ConfChange change)
        {
            ConfChangeReply reply = default;
            node.Store.ProposeConfChange(new GroupId(1), change, r => reply = r);
            node.Turn();
            return reply;
        }
    }

    /// <summary>
    /// A snapshot says its configuration, and an older build cannot read one with an epoch, whatever the level of the group: it is not told to
    /// fetch it.
    /// </summary>
    [Theory]
    [InlineData(FeatureLevel.First, false)]
    [InlineData(FeatureLevel.Max, true)]
    public void A_snapshot_with_an_epoch_is_not_ordered_of_an_older_build_in_a_group_that_nobody_has_raised(ushort level, bool ordered)
    {
        LoneNode node = Leading(nodeOfNewcomer: 4, snapshotEntries: 1);
        TakeSnapshot(node);
        node.Store.OnPeerHello(new NodeId(3), 1, level);

        // Node 3 has nothing that the log still holds.
        ulong asked = node.SentMessages().OfType<AppendEntries>().Last(append => append.To == new ReplicaId(3)).PrevIndex;
        node.Hear(new AppendRejected(new ReplicaId(3), node.Replica.Id, node.Replica.View.Term, asked, HintIndex: 2, HintTerm: 5));
        node.Turn();
        Assert.Equal(FeatureLevel.First, node.Store.Groups[0].Level);
        Assert.Equal(ordered, node.SentMessages().OfType<InstallSnapshot>().Any(order => order.To == new ReplicaId(3)));

        // SM7: the connection may be that of another process by the time it is sent.
        for (int i = 0; i < node.Sent.Count; i++)
        {
            var heard = new List<PeerMessage>();
            if (PeerPayload.TryRead(node.Sent[i].Span, out _, heard) && heard.Exists(message => message.Message is InstallSnapshot))
            {
                Assert.Equal(ConfChange.EpochsSince, node.SentLevels[i]);
            }
        }
    }

    /// <summary>What is behind the items of answers cannot be read by a build of level 1.</summary>
    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public void SM7_a_payload_of_answers_says_which_level_its_receiver_needs(ushort level)
    {
        var node = new LoneNode();
        node.Store.OnPeerHello(new NodeId(1), 1, level);
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        int answers = node.Sent.FindLastIndex(payload => IsAnswers(payload));
        Assert.Equal(level >= DiskReport.Since ? DiskReport.Since : FeatureLevel.First, node.SentLevels[answers]);

        static bool IsAnswers(ReadOnlyMemory<byte> payload)
        {
            var heard = new List<PeerMessage>();
            return PeerPayload.TryRead(payload.Span, out _, heard) && heard.Exists(message => message.Message is HeartbeatResponse);
        }
    }

    /// <summary>The epoch is part of what a restart and a snapshot bring back.</summary>
    [Fact]
    public void A_restarted_replica_still_knows_which_table_the_group_follows()
    {
        LoneNode node = Leading(nodeOfNewcomer: 4, snapshotEntries: 1);
        TakeSnapshot(node);
        ConfState before = node.Replica.Configuration;
        Assert.True(node.Replica.SnapshotIndex > 5);
        node.Restart();
        Assert.Equal(before, node.Replica.Configuration);
        Assert.Equal(Table, node.Replica.Configuration.Epoch);
        Assert.Equal(new NodeId(4), node.Replica.NodeOf(Newcomer));
    }

    /// <summary>What a group owns is part of its state; this node's placement may have moved on, or not have heard yet.</summary>
    [Fact]
    public void A_group_owns_what_its_snapshot_says_whatever_the_placement_says()
    {
        var node = new LoneNode(adjust: o => o with { SnapshotMinEntries = 1 });
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, Term, 5, 5, 6, [PutAt(6)]));
        node.Turn();
        TakeSnapshot(node);
        Assert.Equal(6UL, node.Replica.SnapshotIndex);
        Assert.True(node.Replica.Table.Owns(0));
        (_, ulong before) = node.Replica.StateHash();

        // Its virtual node is the second group's now, says the table that the node starts with.
        node.Restart(o => o with
        {
            Routing = new RoutingTable(
                2, [new GroupId(2)], [[], o.Routing.ReplicasOf(new GroupId(1)), [new ReplicaPlacement(11, new NodeId(1))]]),
        });
        Assert.True(node.Replica.Table.Owns(0));
        Assert.Equal((6UL, before), node.Replica.StateHash());
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, Term, 6, Term, 7, [PutAt(7)]));
        node.Turn();
        TakeSnapshot(node);
        using SnapshotReader second = SnapshotReader.Open(node.Disk, $"/data/snap/1/{SnapshotName.Of(7, Term)}");
        Assert.Equal([0], second.Header.VirtualNodes);
    }

    private static void TakeSnapshot(LoneNode node)
    {
        node.Pass(50);
        node.Turn();
        node.TurnSnapshots();
        node.Turn();
    }

    private static void RaiseLevel(LoneNode node)
    {
        foreach (uint peer in (uint[])[1, 3, 4])
        {
            node.Store.OnPeerHello(new NodeId(peer), 1, FeatureLevel.Max);
        }

        for (int i = 0; i < 2; i++)
        {
            node.Pass(50);
            node.Turn();
            node.HearAcknowledgement();
        }

        Assert.Equal(FeatureLevel.Max, node.Store.Groups[0].Level);
    }

    private static Entry PutAt(ulong index)
    {
        var writer = new CommandBatchWriter(virtualNodeCount: 1);
        writer.Add(new Put("key"u8, "value"u8), null, FeatureLevel.First);
        return new Entry(Term, index, EntryKind.Command, 1, index << 16, writer.Revisions, writer.TakePayload());
    }

    /// <summary>Node 2 of five leads; the placement is that of nodes 1 to 3, and the newcomer was added by an entry.</summary>
    private static LoneNode Leading(
        uint nodeOfNewcomer, ulong snapshotEntries = 10_000, ConfTransition transition = ConfTransition.Auto)
    {
        var node = new LoneNode(
            nodes: 5, adjust: o => o with { SnapshotMinEntries = snapshotEntries, MaxTrailingEntries = snapshotEntries == 1 ? 0 : o.MaxTrailingEntries });
        ConfChange change = new(transition, [new ConfChangeStep(ConfChangeKind.AddLearner, Newcomer, nodeOfNewcomer)]) { Epoch = Table };
        var entry = new Entry(Term, 6, EntryKind.ConfChange, 0, 6UL << 16, 1, change.Encode());
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, Term, 5, 5, 6, [entry]));
        node.Turn();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        return node;
    }
}
