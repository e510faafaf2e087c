using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>What a node says of its cluster to a client that asks.</summary>
public sealed class RoutingAnswerTests
{
    private static readonly AdvertisedNode[] Addresses =
        [new(new NodeId(1), "n1", "127.0.0.1:1", "127.0.0.1:2", "a"), new(new NodeId(2), "n2", "127.0.0.1:3", "127.0.0.1:4", "b")];

    [Fact]
    public void A_node_tells_its_table_the_addresses_and_who_leads()
    {
        var node = new LoneNode(groups: 2, adjust: options => options with { Addresses = Addresses });
        ulong term = node.LeadWithVotesOfNode1();
        node.Pass(50);
        node.Turn();
        KvReply reply = Ask(node, sinceEpoch: 0);
        var routing = Assert.IsType<ClusterRouting>(reply.Result);
        Assert.Equal((ErrorCode.None, 1UL, 1UL), (reply.Code, reply.Epoch, routing.Revision));
        Assert.Equal(Addresses, routing.Nodes);
        Assert.Equal(node.Store.Routing.GroupOf("k"u8), routing.ToTable()!.GroupOf("k"u8));

        // Of the other group nobody is known to lead.
        Assert.Equal([new GroupLeader(new GroupId(1), new NodeId(2), term)], routing.Leaders);
        Assert.Null(Assert.IsType<ClusterRouting>(Ask(node, sinceEpoch: 1).Result).ToTable());
    }

    [Fact]
    public void A_node_that_stops_sends_the_client_to_another_one()
    {
        var node = new LoneNode();
        node.Store.BeginDrain(handOver: false);
        Assert.Equal(ErrorCode.Draining, Ask(node, sinceEpoch: 0).Code);
    }

    private static KvReply Ask(LoneNode node, ulong sinceEpoch)
    {
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new GetRouting(sinceEpoch) }, client);
        return client.Reply!;
    }
}
