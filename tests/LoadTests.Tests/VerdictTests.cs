using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Load;

namespace KvStore.LoadTests.Tests;

public sealed class VerdictTests
{
    private const int Groups = 2;
    private const long Second = 1_000_000_000;

    [Fact]
    public void A_run_that_did_enough_and_broke_nothing_passes() => Assert.Equal(Verdict.Pass, Figures().Verdict);

    [Fact]
    public void Too_little_traffic_too_few_kills_or_no_leader_change_are_no_verdict()
    {
        Assert.Equal(Verdict.Void, (Figures() with { AnswersPerSecondBefore = 499 }).Verdict);
        Assert.Equal(Verdict.Void, (Figures() with { RoundsAsked = 2 }).Verdict);
        Assert.Equal(Verdict.Void, (Figures() with { History = History(leaderChanges: 0) }).Verdict);
    }

    [Fact]
    public void A_broken_promise_fails_however_small_the_run()
    {
        var broken = History(leaderChanges: 0, new Violation(HistoryChecker.NeverBackwards, "a", "…"));
        Assert.Equal(Verdict.Fail, (Figures() with { History = broken, AnswersPerSecondBefore = 1 }).Verdict);
        Assert.Equal(Verdict.Fail, (Figures() with { Breakdown = "n1 did not come back" }).Verdict);
    }

    [Fact]
    public void One_slow_group_after_one_kill_fails_where_a_limit_is_promised()
    {
        var figures = Figures() with { Rounds = [Round(Second, (3 * Second) + 1000)] };
        Assert.Equal(Verdict.Fail, figures.Verdict);
        Assert.Equal("fault 1 (n1): group 2 took no write for 3.00 s", Assert.Single(figures.Failures()));
        Assert.Equal(Verdict.Pass, (figures with { OutageLimit = null }).Verdict);
    }

    [Fact]
    public void A_group_that_never_took_a_write_again_fails_always()
    {
        var round = new FaultRound(1, ["n1"], Groups) { LastWellNs = 0, StruckNs = 1 };
        round.Acknowledged(0, callNs: 2, returnNs: 3);
        Assert.False(round.AllAcknowledged);
        Assert.Equal(Verdict.Fail, (Figures() with { Rounds = [round], OutageLimit = null }).Verdict);
    }

    [Fact]
    public void Only_writes_sent_after_the_death_end_an_outage_and_the_first_one_counts()
    {
        var round = new FaultRound(1, ["n1"], groups: 1) { LastWellNs = 100 * Second };
        round.Acknowledged(0, callNs: 101 * Second, returnNs: 101 * Second);
        Assert.Null(round.OutageOf(0));
        round.StruckNs = 102 * Second;
        round.Acknowledged(0, callNs: (102 * Second) - 1, returnNs: 103 * Second);
        Assert.Null(round.OutageOf(0));
        round.Acknowledged(0, callNs: 102 * Second, returnNs: 104 * Second);
        round.Acknowledged(0, callNs: 104 * Second, returnNs: 105 * Second);
        Assert.Equal(TimeSpan.FromSeconds(4), round.OutageOf(0));
    }

    [Fact]
    public void A_full_disk_that_refused_nothing_is_no_verdict()
    {
        var figures = Figures() with { Fault = Fault.DiskFull };
        Assert.Equal(Verdict.Void, figures.Verdict);
        Assert.Equal(Verdict.Pass, (figures with { RefusedForRoom = (1, 0) }).Verdict);
    }

    [Fact]
    public void Leadership_that_moves_more_than_away_and_back_for_a_frozen_disk_fails()
    {
        var figures = Figures() with { Fault = Fault.DiskFreeze };
        Assert.Equal(Verdict.Pass, (figures with { History = History(leaderChanges: 4) }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { History = History(leaderChanges: 5) }).Verdict);
        Assert.Equal(Verdict.Pass, (figures with { Fault = Fault.Kill, History = History(leaderChanges: 5) }).Verdict);
    }

    [Fact]
    public void What_a_scenario_promises_besides_fails_when_it_is_broken()
    {
        var figures = Figures();
        figures.Rounds[0].Broken.Add("n1 calls itself ready");
        Assert.Equal("fault 1: n1 calls itself ready", Assert.Single(figures.Failures()));
    }

    [Fact]
    public void What_was_acknowledged_while_a_disk_was_full_does_not_end_the_outage_that_follows()
    {
        var round = Round(1, 1);
        round.ForgetAcknowledged();
        Assert.False(round.AllAcknowledged);
    }

    [Fact]
    public void Memory_that_grows_over_its_rounds_fails_and_too_few_rounds_are_no_verdict()
    {
        var figures = Figures() with { Fault = Fault.Memory, History = History(leaderChanges: 0) };
        Assert.Equal(Verdict.Pass, (figures with { Memory = Resident(500, 1000, 1100) }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { Memory = Resident(500, 1000, 1101) }).Verdict);
        Assert.Equal(Verdict.Void, (figures with { Memory = Resident(500, 1000) }).Verdict);
        Assert.Equal(Verdict.Void, (figures with { Memory = Resident(500, 1000, null) }).Verdict);
    }

    [Fact]
    public void A_process_killed_for_want_of_memory_and_a_refusal_that_may_be_applied_fail()
    {
        var figures = Figures() with { Fault = Fault.Memory, Memory = Resident(1000, 1000, 1000) };
        Assert.Equal(Verdict.Fail, (figures with { OutOfMemoryKills = 1 }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { Memory = [.. figures.Memory, figures.Memory[0] with { RefusedUnsure = 1 }] }).Verdict);
    }

    private static MemoryRound[] Resident(params long?[] bytes) => [.. bytes.Select(resident => new MemoryRound
    {
        Taken = 1,
        TakenBytes = 1,
        Refused = 1,
        RefusedUnsure = 0,
        Read = 1,
        Deleted = 1,
        ResidentBytes = resident,
    })];

    private static ChaosFigures Figures() => new()
    {
        History = History(leaderChanges: 1),
        Rounds = [Round(Second, 3 * Second)],
        RoundsAsked = 1,
        Groups = Groups,
        AnswersPerSecondBefore = 500,
        OutageLimit = TimeSpan.FromSeconds(3),
        Breakdown = null,
    };

    private static FaultRound Round(params long[] outagesNs)
    {
        var round = new FaultRound(1, ["n1"], Groups) { LastWellNs = 0, StruckNs = 1 };
        for (int group = 0; group < outagesNs.Length; group++)
        {
            round.Acknowledged(group, callNs: 1, returnNs: outagesNs[group]);
        }

        return round;
    }

    private static CheckResult History(int leaderChanges, params Violation[] violations) => new()
    {
        AcknowledgedWrites = 1,
        UnknownWrites = 0,
        RefusedWrites = 0,
        Reads = 1,
        FinalReads = 1,
        ReadsByLevel = ReadLevels.All.ToDictionary(ReadLevels.NameOf, _ => ChaosFigures.LeastReadsPerLevel),
        ServedWeaker = 0,
        Ages = new Dictionary<string, IReadOnlyList<long>>(),
        LeaderChanges = leaderChanges,
        Violations = violations,
    };
}
