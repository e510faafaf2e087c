using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation.Tests;

/// <summary>A content type becomes a header of an answer, so one that cannot be a header is refused at whatever door it comes in.</summary>
public sealed class ContentTypeTests
{
    [Theory]
    [InlineData("text/html\r\nSet-Cookie: a=b")]
    [InlineData("text/html\0")]
    [InlineData("text/html\n")]
    public void A10_a_content_type_that_can_be_no_header_is_refused_at_every_node_and_nothing_is_stored(string contentType)
    {
        var cluster = new SimulatedCluster(new ClusterOptions { Seed = 1, Groups = 1, VirtualNodes = 4 });
        cluster.StartAll();
        Assert.True(cluster.RunUntilReady());
        byte[] key = Encoding.ASCII.GetBytes("page");
        foreach (SimulatedNode node in cluster.Nodes)
        {
            foreach (Protocol.Operation write in (Protocol.Operation[])[new Put(key, "v"u8, contentType), new Batch(new Put(key, "v"u8, contentType))])
            {
                KvReply refused = Ask(cluster, node, write);
                Assert.Equal((ErrorCode.InvalidRequest, Outcome.NotApplied), (refused.Code, refused.Outcome));
            }

            Assert.Equal(ErrorCode.KeyNotFound, Ask(cluster, node, new Get(key)).Code);
        }
    }

    private static KvReply Ask(SimulatedCluster cluster, SimulatedNode node, Protocol.Operation operation)
    {
        KvReply? reply = null;
        node.Store!.Submit(new KvRequest { Operation = operation, TimeoutMs = 5_000 }, new ReplySink(r => reply = r));
        Assert.True(cluster.Scheduler.RunUntil(() => reply is not null, 10_000_000));
        return reply!;
    }
}
