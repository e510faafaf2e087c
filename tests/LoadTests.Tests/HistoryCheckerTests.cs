using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>A good history passes; each kind of bad one is caught by the rule that is there for it, and by no other.</summary>
public sealed class HistoryCheckerTests
{
    private readonly List<HistoryRecord> _history = [];
    private int _process;

    [Fact]
    public void A_history_without_faults_passes()
    {
        Put("a", "1", 0, 10, version: 100);
        Get("1", 20, 30, version: 100);
        Put("a", "2", 40, 50, version: 101);
        Get("1", 45, 60, version: 100);
        Final("2", 101);
        var result = Judge();
        Assert.Empty(result.Violations);
        Assert.Equal((2, 4, 2), (result.AcknowledgedWrites, result.Reads, result.FinalReads));
    }

    [Fact]
    public void A_lost_acknowledged_write_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, 30, version: 101);
        Final("1", 100);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_lost_key_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Final(null, null);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_write_with_unknown_outcome_may_be_there_or_not()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        Final("1", 100);
        Assert.Empty(Judge().Violations);

        _history.RemoveAll(record => record.Final);
        Final("2", 105);
        Assert.Empty(Judge().Violations);
    }

    [Fact]
    public void An_unknown_write_that_was_seen_must_stay()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        Get("2", 30, 40, version: 105, level: HistoryRecord.Eventual);
        Final("1", 100);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_phantom_value_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Get("nobody", 20, 30, version: 101);
        Final("nobody", 101);
        AssertBroken(HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_value_of_another_key_is_a_phantom()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("b", "2", 0, 10, version: 100);
        Final("1", 100);
        Get("1", 20, 30, version: 100, key: "b", level: HistoryRecord.Eventual);
        Final("2", 100, key: "b");

        // Under the revision of its own value it is also two values under one revision.
        Assert.Contains(Judge().Violations, violation => violation is { Rule: HistoryChecker.ReadsWhatWasWritten, Key: "b" });
    }

    [Fact]
    public void A_refused_write_that_is_read_fails()
    {
        Put("a", "1", 0, 10, version: null, OperationOutcome.Fail);
        Final("1", 100);
        AssertBroken(HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_value_read_before_it_was_written_fails()
    {
        Get("1", 0, 10, version: 100, level: HistoryRecord.Eventual);
        Put("a", "1", 20, 30, version: 100);
        Final("1", 100);

        // It also breaks the order: the put is given a revision that had been shown before.
        Assert.Contains(Judge().Violations, violation => violation.Rule == HistoryChecker.ReadsWhatWasWritten);
    }

    [Fact]
    public void A_revision_that_goes_backwards_between_writes_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, 30, version: 99);
        Final("1", 100);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_revision_that_goes_backwards_between_strong_reads_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, 90, version: 101);
        Get("2", 30, 40, version: 101);
        Get("1", 50, 60, version: 100);
        Final("2", 101);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_stale_strong_read_fails_and_a_stale_eventual_one_does_not()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, 30, version: 101);
        Get("1", 40, 50, version: 100, level: HistoryRecord.Eventual);
        Final("2", 101);
        Assert.Empty(Judge().Violations);

        Get("1", 40, 50, version: 100);
        AssertBroken(HistoryChecker.NeverBackwards);
    }

    [Fact]
    public void A_read_beside_a_write_may_see_either_side()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, 50, version: 101);
        Get("1", 30, 40, version: 100);
        Get("2", 30, 60, version: 101);
        Final("2", 101);
        Assert.Empty(Judge().Violations);
    }

    [Fact]
    public void A_put_that_was_applied_twice_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Get("1", 20, 30, version: 107);
        Final("1", 107);
        AssertBroken(HistoryChecker.OneRevisionOneValue);
    }

    [Fact]
    public void Two_values_under_one_revision_fail()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 5, 15, version: 100);
        Final("1", 100);
        AssertBroken(HistoryChecker.OneRevisionOneValue);
    }

    [Fact]
    public void Nodes_that_disagree_at_the_end_fail()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        Get("1", 100, 110, version: 100, final: true);
        Get("2", 105, 115, version: 101, final: true);
        AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }

    [Fact]
    public void A_key_that_cannot_be_read_at_the_end_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        Get("1", 100, 110, version: 100, final: true);
        _history.Add(Record(HistoryRecord.Get, "a", 100, 120, OperationOutcome.Fail) with { Level = HistoryRecord.Strong, Final = true });
        AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }

    [Fact]
    public void A_history_that_ends_without_final_reads_fails()
    {
        Put("a", "1", 0, 10, version: 100);
        AssertBroken(HistoryChecker.AllThereAtTheEnd);
    }

    [Fact]
    public void Terms_beyond_the_first_of_a_group_are_leader_changes()
    {
        foreach (var (group, term) in new[] { (1u, 5ul), (1u, 6ul), (1u, 6ul), (2u, 5ul), (2u, 9ul), (2u, 12ul) })
        {
            var put = Record(HistoryRecord.Put, "a", 0, null, OperationOutcome.Unknown);
            _history.Add(put with { Value = $"{_history.Count}", Group = group, Term = term });
        }

        Assert.Equal(3, Judge().LeaderChanges);
    }

    [Fact]
    public void What_cannot_be_judged_is_no_pass()
    {
        Put("a", "1", 0, 10, version: 100);
        Put("a", "1", 20, 30, version: 101);
        Assert.Throws<InvalidDataException>(Judge);
        _history.RemoveAt(1);
        _history.Add(Record("cas", "a", 40, 50, OperationOutcome.Ok));
        Assert.Throws<InvalidDataException>(Judge);
    }

    [Fact]
    public void A_record_survives_its_line()
    {
        var record = Record(HistoryRecord.Get, "a", 5, 10, OperationOutcome.Ok) with
        {
            Process = 0, Result = "1", Level = HistoryRecord.Strong, AgeMs = 3, Node = "n2", Group = 7, Term = 9, Applied = 88,
            Version = 118_000_000_000_000_001, Final = true,
        };
        const string Expected = """
            {"process":0,"op":"get","key":"a","result":"1","call_ns":5,"return_ns":10,"outcome":"ok","level":"strong","age_ms":3,
            "node":"n2","group":7,"term":9,"applied":88,"version":118000000000000001,"final":true}
            """;
        string line = HistoryFile.ToLine(record);
        Assert.Equal(Expected.ReplaceLineEndings(""), line);
        Assert.Equal(record, HistoryFile.Parse(line, "line"));
    }

    [Fact]
    public void An_unknown_outcome_has_a_null_return()
    {
        var put = Record(HistoryRecord.Put, "a", 0, null, OperationOutcome.Unknown) with { Process = 3, Value = "v" };
        string line = HistoryFile.ToLine(put);
        Assert.Equal("""{"process":3,"op":"put","key":"a","value":"v","call_ns":0,"return_ns":null,"outcome":"unknown"}""", line);
        Assert.Throws<InvalidDataException>(() => HistoryFile.Parse("{\"process\":3}", "history.jsonl:1"));
    }

    private void Put(string key, string value, long call, long? returned, ulong? version, OperationOutcome outcome = OperationOutcome.Ok) =>
        _history.Add(Record(HistoryRecord.Put, key, call, returned, outcome) with { Value = value, Version = version });

    private void Get(
        string? result, long call, long returned, ulong? version, string key = "a", string level = HistoryRecord.Strong, bool final = false)
    {
        var get = Record(HistoryRecord.Get, key, call, returned, OperationOutcome.Ok);
        _history.Add(get with { Result = result, Version = version, Level = level, Final = final });
    }

    private void Final(string? result, ulong? version, string key = "a")
    {
        Get(result, 1000, 1010, version, key, final: true);
        Get(result, 1000, 1010, version, key, final: true);
    }

    private HistoryRecord Record(string op, string key, long call, long? returned, OperationOutcome outcome) =>
        new() { Process = ++_process, Op = op, Key = key, CallNs = call, ReturnNs = returned, Outcome = outcome };

    private CheckResult Judge() => HistoryChecker.Check(_history);

    private void AssertBroken(string rule)
    {
        var violations = Judge().Violations;
        Assert.NotEmpty(violations);
        Assert.All(violations, violation => Assert.Equal(rule, violation.Rule));
    }
}
