using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests;

public sealed class PaperTests
{
    [Fact]
    public void Smoke()
    {
        TestCluster cluster = TestCluster.Of(3);
        TestReplica leader = cluster.Elect(1);
        leader.Do(node => node.Propose(new byte[] { 1 }, 1, 1));
        cluster.Run();
        leader.Do(node => node.StartRound(1));
        cluster.Run();
        Assert.All(cluster.Replicas, replica => Assert.Equal(2ul, replica.Node.AppliedIndex));
        Assert.Equal(1ul, leader.Node.ConfirmedRound);
        leader.Do(node => node.ReadIndex(7));
        cluster[2].Do(node => node.ReadIndex(8));
        cluster.Run();
        Assert.True(leader.Node.WantsRound);
        leader.Do(node => node.StartRound(2));
        cluster.Run();
        Assert.Equal([new ReadState(7, 2)], leader.Reads);
        Assert.Equal([new ReadState(8, 2)], cluster[2].Reads);
    }
}
