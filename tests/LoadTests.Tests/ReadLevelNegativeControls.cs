using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>Each lie a read can tell about itself must be caught by the rule that is there for it, and by no other.</summary>
public sealed class ReadLevelNegativeControls
{
    private const long Ms = 1_000_000;
    private readonly HistoryBuilder _history = new();

    [Theory]
    [InlineData(HistoryRecord.Eventual)]
    [InlineData(HistoryRecord.SessionLevel)]
    public void An_age_that_is_too_small_fails(string level)
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20 * Ms, 30 * Ms, version: 101);
        _history.Read("1", 130 * Ms, 131 * Ms, version: 100, level, ageMs: 99);
        _history.Final("2", 101);
        _history.AssertBroken(ReadLevelChecker.AgeIsTrue);
    }

    [Fact]
    public void An_age_that_is_too_small_for_a_write_older_than_the_newest_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20 * Ms, 30 * Ms, version: 101);
        _history.Put("a", "3", 100 * Ms, 125 * Ms, version: 102);
        _history.Read("1", 130 * Ms, 131 * Ms, version: 100, HistoryRecord.Eventual, ageMs: 50);
        _history.Final("3", 102);
        _history.AssertBroken(ReadLevelChecker.AgeIsTrue);
    }

    [Fact]
    public void A_key_that_is_not_there_although_the_age_says_it_must_be_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Read(null, 500 * Ms, 501 * Ms, version: null, HistoryRecord.Bounded, ageMs: 200, boundMs: 250);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.AgeIsTrue);
    }

    [Fact]
    public void An_age_above_the_bound_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Read("1", 40 * Ms, 50 * Ms, version: 100, HistoryRecord.Bounded, ageMs: 101, boundMs: 100);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.BoundIsKept);
    }

    [Fact]
    public void A_bounded_answer_without_an_age_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Read("1", 40 * Ms, 50 * Ms, version: 100, HistoryRecord.Bounded, ageMs: null, boundMs: 100);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.BoundIsKept);
    }

    [Fact]
    public void A_session_that_does_not_see_its_own_write_fails()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(1, HistoryRecord.Put, "2", 20, 30, version: 101, applied: 8, token: 7);
        _history.InSession(1, HistoryRecord.Get, "1", 40, 50, version: 100, applied: 7, token: 8);
        _history.Final("2", 101);
        _history.AssertBroken(ReadLevelChecker.SessionNeverBack);
    }

    [Fact]
    public void A_session_that_sees_less_than_it_read_before_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 30, version: 101);
        _history.InSession(1, HistoryRecord.Get, "2", 40, 50, version: 101, applied: 8, token: 0);
        _history.InSession(1, HistoryRecord.Get, "1", 60, 70, version: 100, applied: 7, token: 8);
        _history.Final("2", 101);
        _history.AssertBroken(ReadLevelChecker.SessionNeverBack);
    }

    [Fact]
    public void A_replica_that_lies_about_what_it_has_applied_fails()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(1, HistoryRecord.Put, "2", 20, 30, version: 101, applied: 8, token: 7);
        _history.InSession(2, HistoryRecord.Get, "1", 40, 50, version: 100, applied: 8, token: 8);
        _history.Final("2", 101);
        _history.AssertBroken(ReadLevelChecker.OneIndexOneState);
    }

    [Fact]
    public void A_token_that_was_handed_over_and_not_waited_for_fails()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(2, HistoryRecord.Get, null, 40, 50, version: null, applied: 6, token: 7);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.SessionNeverBack);
    }

    [Fact]
    public void A_token_that_has_forgotten_a_group_fails()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(1, HistoryRecord.Get, "1", 40, 50, version: 100, applied: 7, token: 0);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.SessionNeverBack);
    }

    [Fact]
    public void A_token_of_this_history_that_is_refused_fails()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(1, HistoryRecord.Get, null, 40, 50, version: null, applied: 7, token: 7);
        _history.Records[^1] = _history.Records[^1] with { Outcome = OperationOutcome.Fail, Error = "SessionTokenInvalid" };
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.SessionNeverBack);
    }

    [Theory]
    [InlineData(HistoryRecord.Strong)]
    [InlineData(HistoryRecord.Bounded)]
    [InlineData(HistoryRecord.SessionLevel)]
    public void Less_than_the_level_asked_for_fails_where_nobody_allowed_it(string asked)
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Read("1", 40, 50, version: 100, HistoryRecord.Eventual, asked: asked, boundMs: 100);
        _history.Final("1", 100);
        _history.AssertBroken(ReadLevelChecker.WeakerOnlyWhenAsked);
    }
}
