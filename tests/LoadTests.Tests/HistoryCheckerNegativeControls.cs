using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>Each kind of bad history must be caught by the rule that is there for it, and by no other.</summary>
public sealed class HistoryCheckerNegativeControls
{
    private readonly HistoryBuilder _history = new();

    [Fact]
    public void A_lost_acknowledged_write_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 30, version: 101);
        _history.Final("1", 100);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_lost_key_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Final(null, null);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void An_unknown_write_that_was_seen_must_stay()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        _history.Get("2", 30, 40, version: 105, level: HistoryRecord.Eventual);
        _history.Final("1", 100);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_phantom_value_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Get("nobody", 20, 30, version: 101);
        _history.Final("nobody", 101);
        _history.AssertBroken(HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_value_of_another_key_is_a_phantom()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("b", "2", 0, 10, version: 100);
        _history.Final("1", 100);
        _history.Get("1", 20, 30, version: 100, key: "b", level: HistoryRecord.Eventual);
        _history.Final("2", 100, key: "b");

        // Under the revision of its own value it is also two values under one revision.
        Assert.Contains(_history.Judge().Violations, violation => violation is { Rule: HistoryChecker.ReadsWhatWasWritten, Key: "b" });
    }

    [Fact]
    public void A_refused_write_that_is_read_fails()
    {
        _history.Put("a", "1", 0, 10, version: null, OperationOutcome.Fail);
        _history.Final("1", 100);
        _history.AssertBroken(HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_value_read_before_it_was_written_fails()
    {
        _history.Get("1", 0, 10, version: 100, level: HistoryRecord.Eventual);
        _history.Put("a", "1", 20, 30, version: 100);
        _history.Final("1", 100);

        // It also breaks the order: the put is given a revision that had been shown before.
        Assert.Contains(_history.Judge().Violations, violation => violation.Rule == HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_revision_that_goes_backwards_between_writes_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 30, version: 99);
        _history.Final("1", 100);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_revision_that_goes_backwards_between_strong_reads_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 90, version: 101);
        _history.Get("2", 30, 40, version: 101);
        _history.Get("1", 50, 60, version: 100);
        _history.Final("2", 101);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_stale_strong_read_fails_and_a_stale_eventual_one_does_not()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 30, version: 101);
        _history.Get("1", 40, 50, version: 100, level: HistoryRecord.Eventual);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);

        _history.Get("1", 40, 50, version: 100);
        _history.AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_put_that_was_applied_twice_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Get("1", 20, 30, version: 107);
        _history.Final("1", 107);
        _history.AssertBroken(HistoryChecker.OneRevisionOneValue);
    }

    [Fact]
    public void Two_values_under_one_revision_fail()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 5, 15, version: 100);
        _history.Final("1", 100);
        _history.AssertBroken(HistoryChecker.OneRevisionOneValue);
    }

    [Fact]
    public void Nodes_that_disagree_at_the_end_fail()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        _history.Get("1", 100, 110, version: 100, final: true);
        _history.Get("2", 105, 115, version: 101, final: true);
        _history.AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }

    [Fact]
    public void A_key_that_cannot_be_read_at_the_end_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Get("1", 100, 110, version: 100, final: true);
        _history.Records.Add(_history.Record(HistoryRecord.Get, "a", 100, 120, OperationOutcome.Fail) with { Level = HistoryRecord.Strong, Final = true });
        _history.AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }

    [Fact]
    public void A_history_that_ends_without_final_reads_fails()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }
}
