namespace KvStore.Replication.Tests.Peers;

public sealed class PeerMessagesPoolTests
{
    /// <summary>Many threads take and give back: nobody is ever given what another one holds, and what is given is empty.</summary>
    [Fact]
    public void What_one_holds_nobody_else_is_given()
    {
        var pool = new PeerMessagesPool();
        var held = new System.Collections.Concurrent.ConcurrentDictionary<PeerMessages, int>(ReferenceEqualityComparer.Instance);
        Parallel.For(0, 200_000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            PeerMessages taken = pool.Take();
            Assert.True(held.TryAdd(taken, i));
            Assert.Empty(taken.Messages);
            taken.Messages.Add(default);
            Assert.True(held.TryRemove(taken, out _));
            pool.GiveBack(taken);
        });
    }

    [Fact]
    public void What_comes_back_is_given_out_again_and_nothing_is_given_twice()
    {
        var pool = new PeerMessagesPool();
        PeerMessages first = pool.Take();
        pool.GiveBack(first);
        Assert.Same(first, pool.Take());
        Assert.NotSame(first, pool.Take());
    }
}
