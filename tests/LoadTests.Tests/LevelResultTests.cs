using KvStore.LoadTests.Levels;
using KvStore.Protocol;

namespace KvStore.LoadTests.Tests;

/// <summary>When the measured reads of a level are not what is promised.</summary>
public sealed class LevelResultTests
{
    private static readonly LevelPoint Session = new(ReadLevel.Session, 0, 3, IsServedByAll: true);
    private static readonly LevelPoint Bounded = new(ReadLevel.Bounded, 250, 3, LeastLocalShare: 0.95);

    [Fact]
    public void Every_node_serves_its_share()
    {
        Assert.Empty(Result(Session, [40, 35, 25], local: 100).Failures());
        Assert.Single(Result(Session, [41, 34, 25], local: 100).Failures());
        Assert.Single(Result(Session, [38, 38, 24], local: 100).Failures());
        Assert.Empty(Result(Bounded, [100, 0, 0], local: 100).Failures());
    }

    [Fact]
    public void Reads_that_ask_the_leader_are_counted_against_the_level_that_promises_few()
    {
        Assert.Empty(Result(Bounded, [34, 33, 33], local: 95, waited: 5).Failures());
        Assert.Single(Result(Bounded, [34, 33, 33], local: 94, waited: 6).Failures());
        Assert.Single(Result(Bounded, [34, 33, 33], local: 94, waited: 3, forwarded: 3).Failures());
        Assert.Empty(Result(Session, [34, 33, 33], local: 0, waited: 100).Failures());
    }

    [Fact]
    public void Nothing_answered_is_no_success() => Assert.Single(Result(Bounded, [0, 0, 0], local: 0).Failures());

    private static LevelResult Result(LevelPoint point, long[] byNode, long local, long waited = 0, long forwarded = 0) => new()
    {
        Point = point,
        During = TimeSpan.FromSeconds(1),
        ByNode = byNode,
        Local = local,
        Waited = waited,
        Forwarded = forwarded,
        Failed = 0,
        Rounds = 10,
    };
}
