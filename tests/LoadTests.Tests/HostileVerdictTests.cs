using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Hostile;

namespace KvStore.LoadTests.Tests;

public sealed class HostileVerdictTests
{
    private static readonly Attack Idle = Attack.All.First(attack => attack.Name == "idle-rest");

    [Fact]
    public void Nine_of_ten_parts_of_the_attack_are_enough_and_one_less_is_no_verdict()
    {
        Assert.Equal(7470, HostileFigures.LeastMounted(Idle));
        Assert.Equal(Verdict.Pass, Of(Round(begun: 7470)).Verdict);
        Assert.Equal(Verdict.Void, Of(Round(begun: 7469)).Verdict);
        Assert.Contains("7469 of 8300 parts", Assert.Single(Of(Round(begun: 7469)).Voids()), StringComparison.Ordinal);
    }

    [Fact]
    public void One_round_of_five_that_was_not_mounted_is_no_verdict() =>
        Assert.Equal(Verdict.Void, (Of(Round(), Round(), Round(begun: 83), Round(), Round()) with { RoundsAsked = 5 }).Verdict);

    [Fact]
    public void One_request_of_the_other_client_that_failed_is_a_failure_and_a_timeout_is_told_apart()
    {
        var round = Round() with { Failures = ["n1, REST: 503", "n2, REST: " + Bystander.NoAnswer + "504"] };
        Assert.Equal(1, round.TimedOut);
        Assert.Equal(Verdict.Fail, Of(round).Verdict);
        Assert.Equal(Verdict.Fail, Of(round with { Mounted = default }).Verdict);
    }

    [Fact]
    public void Memory_above_the_limit_is_a_failure_and_memory_that_nobody_knows_no_verdict()
    {
        Assert.Equal(Verdict.Fail, Of(Round() with { MostResident = 101 }).Verdict);
        Assert.Equal(Verdict.Void, Of(Round() with { MemoryLimit = 0 }).Verdict);
        Assert.Equal(Verdict.Void, Of(Round() with { MostResident = 0 }).Verdict);
    }

    [Fact]
    public void A_part_that_is_done_again_and_again_counts_once()
    {
        var parts = new MountedParts(100);
        for (int again = 0; again < 100; again++)
        {
            parts.Begin(7).Dispose();
        }

        using var first = parts.Begin(1);
        using (parts.Begin(2))
        {
        }

        Assert.Equal(new Mounted(Begun: 3, Most: 2), parts.Now);
        Assert.Equal(parts.Now, Mounted.Parse(parts.Now.ToString()));
        Assert.Null(Mounted.Parse("3"));
    }

    private static HostileFigures Of(params AttackRound[] rounds) => new(rounds, rounds.Length, null);

    private static AttackRound Round(int begun = 8300) => new()
    {
        Attack = Idle,
        CalmP99 = 1,
        P99 = 2,
        Answers = 100,
        Failures = [],
        Mounted = new Mounted(begun, begun),
        MostResident = 100,
        MemoryLimit = 100,
        Ended = [],
    };
}
