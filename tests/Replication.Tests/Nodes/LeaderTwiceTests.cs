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
        ulong first = Lead(node);
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
        ulong third = Lead(node);
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
        node.Store.Submit(new KvRequest { Operation = KvOperation.Put, Key = "k"u8.ToArray(), TimeoutMs = 500 }, client);
        node.Turn();
        return client;
    }

    /// <summary>Node 1 votes for whatever it is asked, until we lead; the answer is the term.</summary>
    private static ulong Lead(LoneNode node)
    {
        for (int tick = 0; tick < 100 && !node.Replica.IsLeader; tick++)
        {
            node.Pass(50);
            node.Turn();
            if (node.Replica.View.Role == Role.PreCandidate)
            {
                node.Hear(new VoteResponse(Peer, Self, node.Replica.View.Term + 1, PreVote: true, Granted: true));
                node.Turn();
                node.Hear(new VoteResponse(Peer, Self, node.Replica.View.Term, PreVote: false, Granted: true));
                node.Turn();
            }
        }

        Assert.True(node.Replica.IsLeader);
        return node.Replica.View.Term;
    }

    private static void Acknowledge(LoneNode node, ulong term)
    {
        node.Hear(new AppendResponse(Peer, Self, term, node.Replica.DurableLastIndex));
        node.Turn();
    }
}
