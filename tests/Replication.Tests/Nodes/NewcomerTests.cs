using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>A replica that has come to a node and has no state yet: the node goes on as if it were not there.</summary>
public sealed class NewcomerTests
{
    public static TheoryData<KvOperation, ReadLevel, OnUnmet> Requests => new()
    {
        { KvOperation.Put, ReadLevel.Strong, OnUnmet.Forward },
        { KvOperation.Get, ReadLevel.Strong, OnUnmet.Forward },
        { KvOperation.Get, ReadLevel.Strong, OnUnmet.Serve },
        { KvOperation.Get, ReadLevel.Session, OnUnmet.Forward },
        { KvOperation.Get, ReadLevel.Eventual, OnUnmet.Fail },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public void It_passes_on_what_it_is_asked(KvOperation operation, ReadLevel level, OnUnmet onUnmet)
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(operation, level) with { OnUnmet = onUnmet }, client);
        node.Turn();
        Assert.Null(client.Reply);
        (NodeId to, _, IForwardCompletion completion) = Assert.Single(node.Forwarded);
        Assert.NotEqual(node.Store.Self, to);

        completion.Replied(new KvReply { Revision = 7, Outcome = Outcome.Applied });
        node.Turn();
        Assert.Equal(7UL, client.Reply!.Revision);
    }

    [Fact]
    public void It_sends_back_what_was_passed_on_already()
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(KvOperation.Get, ReadLevel.Eventual) with { HopsLeft = 0 }, client);
        node.Turn();
        Assert.Equal(ErrorCode.WrongNode, client.Reply!.Code);
    }

    [Fact]
    public void It_never_says_that_a_key_is_absent()
    {
        LoneNode node = Joined();
        var client = new WaitingClient();
        node.Store.Submit(Request(KvOperation.Get, ReadLevel.Eventual) with { TimeoutMs = 200 }, client);
        node.Turn();
        Assert.Single(node.Forwarded).Completion.Lost(notSent: true);
        node.Pass(250);
        node.Turn();
        Assert.Equal(ErrorCode.NoLeader, client.Reply!.Code);
        Assert.Null(client.Reply.Evidence);
    }

    private static KvRequest Request(KvOperation operation, ReadLevel level) =>
        new() { Operation = operation, Key = "key"u8.ToArray(), Level = level, TimeoutMs = 1000 };

    /// <summary>Node 4 of five, which the second placement gives a replica beside those of nodes 1 to 3.</summary>
    private static LoneNode Joined()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        ReplicaPlacement[] replicas =
            [.. node.Store.Routing.ReplicasOf(new GroupId(1)), new ReplicaPlacement(LoneNode.IdOf(4).Value, new NodeId(4))];
        node.Store.UseRouting(new RoutingTable(2, [new GroupId(1)], [[], replicas]));
        node.Turn();
        Assert.NotNull(node.Replica);
        return node;
    }
}
