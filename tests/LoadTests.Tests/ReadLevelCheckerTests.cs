using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>What replicas may honestly say about a read, and must not be accused of.</summary>
public sealed class ReadLevelCheckerTests
{
    private const long Ms = 1_000_000;
    private readonly HistoryBuilder _history = new();

    [Fact]
    public void A_write_acknowledged_within_the_age_may_be_missing()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20 * Ms, 30 * Ms, version: 101);

        // 30 ms is not before 130 ms - 100 ms.
        _history.Read("1", 130 * Ms, 131 * Ms, version: 100, HistoryRecord.Eventual, ageMs: 100);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void An_age_counts_from_the_call_because_the_answer_may_have_been_late()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 50 * Ms, 60 * Ms, version: 101);

        // Read and dated at 20 ms, then a second on its way.
        _history.Read("1", 10 * Ms, 1000 * Ms, version: 100, HistoryRecord.Eventual, ageMs: 5);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void A_write_nobody_acknowledged_may_be_missing_at_any_age()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        _history.Read("1", 500 * Ms, 501 * Ms, version: 100, HistoryRecord.Eventual, ageMs: 0);
        _history.Final("1", 100);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void Sessions_of_others_may_see_less_until_they_have_the_token()
    {
        _history.InSession(1, HistoryRecord.Put, "2", 20, 30, version: 101, applied: 8, token: 0);
        _history.InSession(2, HistoryRecord.Get, null, 40, 50, version: null, applied: 7, token: 0);
        _history.InSession(2, HistoryRecord.Get, "2", 60, 70, version: 101, applied: 8, token: 8);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void An_eventual_read_of_a_session_may_go_back()
    {
        _history.InSession(1, HistoryRecord.Put, "1", 0, 10, version: 100, applied: 7, token: 0);
        _history.InSession(1, HistoryRecord.Put, "2", 20, 30, version: 101, applied: 8, token: 7);
        _history.InSession(1, HistoryRecord.Get, "1", 40, 50, version: 100, applied: 7, token: 8, level: HistoryRecord.Eventual);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void Two_writes_of_one_entry_have_one_index()
    {
        _history.Put("a", "1", 0, 10, version: 100, applied: 7);
        _history.Put("a", "2", 0, 10, version: 101, applied: 7);
        _history.Read("2", 20, 30, version: 101, HistoryRecord.Eventual, applied: 7);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void Less_than_the_level_asked_for_is_no_fault_where_it_was_allowed()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 30, version: 101);
        _history.Read(
            "1", 40, 50, version: 100, HistoryRecord.Eventual, asked: HistoryRecord.Bounded, boundMs: 100, onUnmet: HistoryRecord.Serve);
        _history.Final("2", 101);
        var result = _history.Judge();
        Assert.Empty(result.Violations);
        Assert.Equal(1, result.ServedWeaker);
    }

    [Fact]
    public void Reads_and_their_ages_are_counted_by_the_level_they_met()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Read("1", 40, 50, version: 100, HistoryRecord.Bounded, ageMs: 90, boundMs: 100);
        _history.Read("1", 40, 50, version: 100, HistoryRecord.Bounded, ageMs: 20, boundMs: 100);
        _history.Read("1", 40, 50, version: 100, HistoryRecord.Strong, ageMs: 0);
        _history.Final("1", 100);
        var result = _history.Judge();
        Assert.Equal((2, 1), (result.ReadsByLevel[HistoryRecord.Bounded], result.ReadsByLevel[HistoryRecord.Strong]));
        Assert.Equal([20, 90], result.Ages[HistoryRecord.Bounded]);
        Assert.False(result.Ages.ContainsKey(HistoryRecord.Strong));
    }
}
