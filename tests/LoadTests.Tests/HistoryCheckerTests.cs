using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>A good history passes, what cannot be judged does not, and a record survives its file.</summary>
public sealed class HistoryCheckerTests
{
    private readonly HistoryBuilder _history = new();

    [Fact]
    public void A_history_without_faults_passes()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Get("1", 20, 30, version: 100);
        _history.Put("a", "2", 40, 50, version: 101);
        _history.Get("1", 45, 60, version: 100);
        _history.Final("2", 101);
        var result = _history.Judge();
        Assert.Empty(result.Violations);
        Assert.Equal((2, 4, 2), (result.AcknowledgedWrites, result.Reads, result.FinalReads));
    }

    [Fact]
    public void A_write_with_unknown_outcome_may_be_there_or_not()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, null, version: null, OperationOutcome.Unknown);
        _history.Final("1", 100);
        Assert.Empty(_history.Judge().Violations);

        _history.Records.RemoveAll(record => record.Final);
        _history.Final("2", 105);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void A_read_beside_a_write_may_see_either_side()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "2", 20, 50, version: 101);
        _history.Get("1", 30, 40, version: 100);
        _history.Get("2", 30, 60, version: 101);
        _history.Final("2", 101);
        Assert.Empty(_history.Judge().Violations);
    }

    [Fact]
    public void Terms_beyond_the_first_of_a_group_are_leader_changes()
    {
        foreach (var (group, term) in new[] { (1u, 5ul), (1u, 6ul), (1u, 6ul), (2u, 5ul), (2u, 9ul), (2u, 12ul) })
        {
            var put = _history.Record(HistoryRecord.Put, "a", 0, null, OperationOutcome.Unknown);
            _history.Records.Add(put with { Value = $"{_history.Records.Count}", Group = group, Term = term });
        }

        Assert.Equal(3, _history.Judge().LeaderChanges);
    }

    [Fact]
    public void What_cannot_be_judged_is_no_pass()
    {
        _history.Put("a", "1", 0, 10, version: 100);
        _history.Put("a", "1", 20, 30, version: 101);
        Assert.Throws<InvalidDataException>(() => _history.Judge());
        _history.Records.RemoveAt(1);
        _history.Records.Add(_history.Record("cas", "a", 40, 50, OperationOutcome.Ok));
        Assert.Throws<InvalidDataException>(() => _history.Judge());
    }

    [Fact]
    public void A_record_survives_its_line()
    {
        var record = _history.Record(HistoryRecord.Get, "a", 5, 10, OperationOutcome.Ok) with
        {
            Process = 0,
            Result = "1",
            Level = HistoryRecord.Strong,
            AgeMs = 3,
            Node = "n2",
            Group = 7,
            Term = 9,
            Applied = 88,
            Version = 118_000_000_000_000_001,
            Final = true,
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
    public void A_read_in_a_session_says_what_it_carried()
    {
        _history.InSession(1, HistoryRecord.Get, "1", 5, 10, version: 100, applied: 7, token: 6);
        var record = _history.Records[0] with { Level = HistoryRecord.Eventual, Asked = HistoryRecord.Bounded, BoundMs = 250, OnUnmet = "serve" };
        const string Expected = """
            {"process":-1,"op":"get","key":"a","result":"1","call_ns":5,"return_ns":10,"outcome":"ok","level":"eventual",
            "asked":"bounded","on_unmet":"serve","bound_ms":250,"session":{"1":6},"group":1,"applied":7,"version":100}
            """;
        string line = HistoryFile.ToLine(record);
        Assert.Equal(Expected.ReplaceLineEndings(""), line);
        Assert.Equal(6ul, HistoryFile.Parse(line, "line").Session![1]);
    }

    [Fact]
    public void An_unknown_outcome_has_a_null_return()
    {
        var put = _history.Record(HistoryRecord.Put, "a", 0, null, OperationOutcome.Unknown) with { Process = 3, Value = "v" };
        string line = HistoryFile.ToLine(put);
        Assert.Equal("""{"process":3,"op":"put","key":"a","value":"v","call_ns":0,"return_ns":null,"outcome":"unknown"}""", line);
        Assert.Throws<InvalidDataException>(() => HistoryFile.Parse("{\"process\":3}", "history.jsonl:1"));
    }
}
