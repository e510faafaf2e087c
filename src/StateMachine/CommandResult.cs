using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// What one request of an entry came to, the same on every replica and, through its idempotency record, for every copy of it.
/// </summary>
/// <param name="Code">None: executed. ConditionFailed and NotANumber executed too, and found that nothing was to be written.</param>
/// <param name="Outcome">NotApplied is proved; Unknown where a record that would tell is gone.</param>
/// <param name="Result">What it came to; null when it was refused.</param>
/// <param name="Duplicate">The result of an earlier copy of the request; this copy did nothing.</param>
/// <param name="Detail">What went wrong; null on success.</param>
public readonly record struct CommandResult(ErrorCode Code, Outcome Outcome, Result? Result, bool Duplicate, string? Detail)
{
    internal static CommandResult Refused(ErrorCode code, Outcome outcome, string detail) =>
        new(code, outcome, Result: null, Duplicate: false, detail);
}
