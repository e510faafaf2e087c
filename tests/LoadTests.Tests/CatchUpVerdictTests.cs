using KvStore.LoadTests.CatchUp;
using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

public sealed class CatchUpVerdictTests
{
    [Fact]
    public void Equal_replicas_that_came_by_snapshot_pass() => Assert.Equal(Verdict.Pass, Figures(Group()).Verdict);

    [Fact]
    public void One_replica_that_differs_fails()
    {
        var figures = Figures(Group(), Group() with { Group = 2, Hashes = [new(90, "aa"), new(90, "ab"), new(90, "aa")] });
        Assert.Equal(Verdict.Fail, figures.Verdict);
        Assert.Equal("group 2: the replicas differ at index 90: aa, ab, aa", Assert.Single(figures.Failures()));
    }

    [Fact]
    public void A_group_that_stays_behind_fails_and_so_does_one_that_cannot_be_compared()
    {
        Assert.Equal(Verdict.Fail, Figures(Group() with { Applied = 79, Hashes = null }).Verdict);
        Assert.Equal(Verdict.Fail, Figures(Group() with { Hashes = null }).Verdict);
    }

    [Fact]
    public void Too_few_compactions_or_a_group_that_needed_no_snapshot_are_no_verdict()
    {
        Assert.Equal(Verdict.Void, (Figures(Group()) with { SnapshotsPerGroup = 1.9 }).Verdict);
        Assert.Equal(Verdict.Void, Figures(Group(), Group() with { SnapshotsInstalled = 0 }).Verdict);
    }

    private static GroupCatchUp Group() => new()
    {
        Group = 1,
        StoppedAt = 10,
        LogStartsAt = 50,
        Target = 80,
        Applied = 90,
        SnapshotsInstalled = 1,
        Hashes = [new(90, "aa"), new(90, "aa"), new(90, "aa")],
    };

    private static CatchUpFigures Figures(params GroupCatchUp[] groups) => new()
    {
        Node = "n3",
        Writes = 1000,
        Writing = TimeSpan.FromSeconds(1),
        SnapshotsPerGroup = 3,
        ToReady = TimeSpan.FromSeconds(1),
        ToCaughtUp = TimeSpan.FromSeconds(2),
        SnapshotBytes = 1,
        Groups = groups,
    };
}
