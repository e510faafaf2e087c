using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>
/// A replica that has come to a node: without a state it is as if it were not there, and with its first it knows the group.
/// </summary>
public sealed class NewcomerTests
{
    private const int AnHour = 3_600_000;

    public static TheoryData<bool, ReadLevel, OnUnmet> Requests => new()
    {
        { true, ReadLevel.Strong, OnUnmet.Forward },
        { false, ReadLevel.Strong, OnUnmet.Forward },
        { false, ReadLevel.Strong, OnUnmet.Serve },
        { false, ReadLevel.Session, OnUnmet.Forward },
        { false, ReadLevel.Eventual, OnUnmet.Fail },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public void It_passes_on_what_it_is_asked(bool isWrite, ReadLevel level, OnUnmet onUnmet)
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(isWrite, level, onUnmet), client);
        node.Turn();
        Assert.Null(client.Reply);
        (NodeId to, _, IForwardCompletion completion) = Assert.Single(node.Forwarded);
        Assert.NotEqual(node.Store.Self, to);

        completion.Replied(new KvReply { Result = new Found(7, new byte[1]), Outcome = Outcome.Applied });
        node.Turn();
        Assert.Equal(7UL, client.Reply!.Revision);
    }

    [Fact]
    public void It_sends_back_what_was_passed_on_already()
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(isWrite: false, ReadLevel.Eventual) with { HopsLeft = 0 }, client);
        node.Turn();
        Assert.Equal(ErrorCode.WrongNode, client.Reply!.Code);
    }

    [Fact]
    public void It_never_says_that_a_key_is_absent()
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(isWrite: false, ReadLevel.Eventual) with { TimeoutMs = 200 }, client);
        node.Turn();
        Assert.Single(node.Forwarded).Completion.Lost(notSent: true);
        node.Pass(250);
        node.Turn();
        Assert.Equal(ErrorCode.NoLeader, client.Reply!.Code);
        Assert.Null(client.Reply.Evidence);
    }

    /// <summary>Who the voters are it learns from the snapshot; with its own clock alone one bad clock would move the group's time.</summary>
    [Fact]
    public void Elected_after_its_snapshot_it_takes_the_median_of_the_voters_clocks()
    {
        var node = new LoneNode(adjust: o => o with { Routing = Placement(1, 1, 3) });
        node.Store.UseRouting(Placement(2, 1, 2, 3));
        node.Turn();
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfNode3.Take(term: 6);
        node.Hear(new InstallSnapshot(LoneNode.IdOf(1), node.Replica.Id, 6, snapshot), from: 1, aheadMs: AnHour);
        node.Hear(new AppendAccepted(LoneNode.IdOf(3), node.Replica.Id, 1, 0), from: 3, aheadMs: AnHour);
        node.Turn();
        node.TurnSnapshots();
        node.HearPayload(piece);
        node.TurnSnapshots();
        node.InstallFetched();
        for (int tick = 0; tick < 200 && !node.Replica.IsLeader; tick++)
        {
            node.Pass(50);
            node.Turn();
            ulong term = node.Replica.View.Term;
            bool isPreVote = node.Replica.View.Role == Role.PreCandidate;
            if (isPreVote || node.Replica.View.Role == Role.Candidate)
            {
                Message vote = isPreVote
                    ? new PreVoteGranted(LoneNode.IdOf(1), node.Replica.Id, term + 1)
                    : new VoteGranted(LoneNode.IdOf(1), node.Replica.Id, term);
                node.Hear(vote, from: 1, aheadMs: AnHour);
                node.Turn();
            }
        }

        Assert.True(node.Replica.IsLeader);
        Entry first = node.SentMessages().OfType<AppendEntries>().Last().Entries[^1];
        Assert.InRange((long)(first.Clock >> 16) - (long)node.Store.Shared.Clock.WallMs(), AnHour - 1000, AnHour + 1000);
    }

    [Fact]
    public void A_learner_says_so_until_it_is_promoted()
    {
        var node = new LoneNode();
        Assert.Equal(ServedRole.Follower, RoleSaid(node));
        Change(node, index: 6, ConfChangeKind.AddLearner);
        Assert.Equal(ServedRole.Learner, RoleSaid(node));
        Change(node, index: 7, ConfChangeKind.AddVoter);
        Assert.Equal(ServedRole.Follower, RoleSaid(node));
    }

    private static void Change(LoneNode node, ulong index, ConfChangeKind kind)
    {
        byte[] change = new ConfChange(ConfTransition.Auto, [new ConfChangeStep(kind, node.Replica.Id)]).Encode();
        var entry = new Entry(6, index, EntryKind.ConfChange, 0, index << 16, 1, change);
        ulong previousTerm = index == 6 ? 5UL : 6;
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, 6, index - 1, previousTerm, index, [entry]));
        node.Turn();
    }

    private static ServedRole RoleSaid(LoneNode node)
    {
        var client = new WaitingClient();
        node.Store.Submit(Request(isWrite: false, ReadLevel.Eventual), client);
        return client.Reply!.Evidence!.Value.Role;
    }

    private static KvRequest Request(bool isWrite, ReadLevel level, OnUnmet onUnmet = OnUnmet.Forward) => new()
    {
        Operation = isWrite ? new Put("key"u8, default) : new Get("key"u8),
        Read = new ReadTerms { Level = level, OnUnmet = onUnmet },
        TimeoutMs = 1000,
    };

    private static RoutingTable Placement(ulong epoch, params uint[] nodes) => new(
        epoch, [new GroupId(1)], [[], [.. nodes.Select(n => new ReplicaPlacement(LoneNode.IdOf(n).Value, new NodeId(n)))]]);

    /// <summary>Node 4 of five, which the second placement gives a replica beside those of nodes 1 to 3.</summary>
    private static LoneNode Joined()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        node.Store.UseRouting(Placement(2, 1, 2, 3, 4));
        node.Turn();
        Assert.NotNull(node.Replica);
        return node;
    }
}
