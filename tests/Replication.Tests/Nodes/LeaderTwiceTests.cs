using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>A replica that leads, is deposed with writes nobody else has, and leads again over the same indices.</summary>
public sealed class LeaderTwiceTests
{
    private static readonly ReplicaId Peer = new(1);
    private static readonly ReplicaId Self = new(2);

    [Fact]
    public void A_write_is_answered_although_replaced_entries_of_an_earlier_term_reach_further()
    {
        var node = new LoneNode();
        ulong first = node.LeadWithVotesOfNode1();
        Acknowledge(node, first);
        WaitingClient[] early = [.. Enumerable.Range(0, 5).Select(_ => Put(node))];
        Assert.All(early, c => Assert.Null(c.Reply));

        // The next leader has none of the five.
        ulong second = first + 1;
        ulong noOp = node.Replica.DurableLastIndex - 4;
        node.Hear(new AppendEntries(Peer, Self, second, noOp - 1, first, noOp, [LoneNode.NoOp(second, noOp)]));
        node.Turn();
        node.Pass(600);
        node.Turn();
        Assert.Equal(noOp, node.Replica.DurableLastIndex);

        node.Store.OnPeerLost(new NodeId(1));
        ulong third = node.LeadWithVotesOfNode1();
        Assert.True(third > second);
        WaitingClient late = Put(node);
        Acknowledge(node, third);
        Assert.Equal(ErrorCode.None, late.Reply?.Code);

        node.Pass(600);
        node.Turn();
        Assert.All(early, c => Assert.NotNull(c.Reply));
    }

    private static WaitingClient Put(LoneNode node)
    {
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Put("k"u8, default), TimeoutMs = 500 }, client);
        node.Turn();
        return client;
    }

    private static void Acknowledge(LoneNode node, ulong term)
    {
        node.Hear(new AppendAccepted(Peer, Self, term, node.Replica.DurableLastIndex));
        node.Turn();
    }
}
