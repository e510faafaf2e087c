using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>A history written down operation by operation, times in nanoseconds, each by a process of its own.</summary>
internal sealed class HistoryBuilder
{
    private int _process;

    public List<HistoryRecord> Records { get; } = [];

    public void Put(string key, string value, long call, long? returned, ulong? version, OperationOutcome outcome = OperationOutcome.Ok) =>
        Records.Add(Record(HistoryRecord.Put, key, call, returned, outcome) with { Value = value, Version = version });

    public void Get(
        string? result, long call, long returned, ulong? version, string key = "a", string level = HistoryRecord.Strong, bool final = false)
    {
        var get = Record(HistoryRecord.Get, key, call, returned, OperationOutcome.Ok);
        Records.Add(get with { Result = result, Version = version, Level = level, Final = final });
    }

    public void Final(string? result, ulong? version, string key = "a")
    {
        Get(result, 1000, 1010, version, key, final: true);
        Get(result, 1000, 1010, version, key, final: true);
    }

    public HistoryRecord Record(string op, string key, long call, long? returned, OperationOutcome outcome) =>
        new() { Process = ++_process, Op = op, Key = key, CallNs = call, ReturnNs = returned, Outcome = outcome };

    public CheckResult Judge() => HistoryChecker.Check(Records);

    public void AssertBroken(string rule)
    {
        var violations = Judge().Violations;
        Assert.NotEmpty(violations);
        Assert.All(violations, violation => Assert.Equal(rule, violation.Rule));
    }
}
