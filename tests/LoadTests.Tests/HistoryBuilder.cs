using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.Tests;

/// <summary>A history written down operation by operation, times in nanoseconds, each by a process of its own.</summary>
internal sealed class HistoryBuilder
{
    private const long End = 10_000_000_000;
    private int _process;

    public List<HistoryRecord> Records { get; } = [];

    public void Put(
        string key, string value, long call, long? returned, ulong? version, OperationOutcome outcome = OperationOutcome.Ok,
        ulong? applied = null)
    {
        var put = Record(HistoryRecord.Put, key, call, returned, outcome);
        Records.Add(put with { Value = value, Version = version, Applied = applied });
    }

    public void Get(
        string? result, long call, long returned, ulong? version, string key = "a", string level = HistoryRecord.Strong, bool final = false)
    {
        var get = Record(HistoryRecord.Get, key, call, returned, OperationOutcome.Ok);
        Records.Add(get with { Result = result, Version = version, Level = level, Final = final });
    }

    /// <summary>A read of key a that says more about itself.</summary>
    public void Read(
        string? result, long call, long returned, ulong? version, string level, long? ageMs = null, long? boundMs = null, ulong? applied = null,
        string? asked = null, string? onUnmet = null)
    {
        Get(result, call, returned, version, level: level);
        Records[^1] = Records[^1] with { AgeMs = ageMs, BoundMs = boundMs, Applied = applied, Asked = asked, OnUnmet = onUnmet };
    }

    /// <summary>An operation on key a, in group 1, by a process that carries a token.</summary>
    /// <param name="process">Whose token it is.</param>
    /// <param name="op">put or get.</param>
    /// <param name="value">Written or found.</param>
    /// <param name="call">When it was sent.</param>
    /// <param name="returned">When it was answered.</param>
    /// <param name="version">Of the value.</param>
    /// <param name="applied">What the answering replica had applied.</param>
    /// <param name="token">What the token it was sent with names; 0 for an empty one.</param>
    /// <param name="level">Of a get.</param>
    public void InSession(
        int process, string op, string? value, long call, long returned, ulong? version, ulong applied, ulong token,
        string level = HistoryRecord.SessionLevel) => Records.Add(Record(op, "a", call, returned, OperationOutcome.Ok) with
        {
            Process = -process,
            Value = op == HistoryRecord.Put ? value : null,
            Result = op == HistoryRecord.Get ? value : null,
            Level = op == HistoryRecord.Get ? level : null,
            Version = version,
            Group = 1,
            Applied = applied,
            Session = token == 0 ? new Dictionary<uint, ulong>() : new Dictionary<uint, ulong> { [1] = token },
        });

    public void Final(string? result, ulong? version, string key = "a")
    {
        Get(result, End, End + 10, version, key, final: true);
        Get(result, End, End + 10, version, key, final: true);
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
