using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// What an idempotency record keeps of a result: no text and no value, and only what an executed request can come to. The rule of the
/// operation makes the result of it again. HeldBack: nothing is wrong with this item of a batch, but another item failed and took
/// it along. Of a read in a transaction: Changed when it found something, and the revision of that.
/// </summary>
internal readonly record struct ExecutedOutcome(
    ErrorCode Code, bool Changed, bool HeldBack, ulong Revision, long Number, ExecutedOutcome[]? Items)
{
    public static ExecutedOutcome Done(ulong revision, bool changed, long number = 0) =>
        new(ErrorCode.None, changed, HeldBack: false, revision, number, Items: null);

    public static ExecutedOutcome Failed(ErrorCode code, ulong currentRevision, bool heldBack = false) =>
        new(code, Changed: false, heldBack, currentRevision, Number: 0, Items: null);

    /// <summary>Only these are stored; a refusal is decided anew for every copy.</summary>
    public static bool IsExecuted(ErrorCode code) =>
        code is ErrorCode.None or ErrorCode.ConditionFailed or ErrorCode.NotANumber or ErrorCode.TooLarge;

    public Outcome Outcome => Code == ErrorCode.None ? Outcome.Applied : Outcome.NotApplied;

    public CommandResult ToResult(WriteOperation operation, bool duplicate, Execution on) =>
        new(Code, Outcome, RuleTable.Of(operation).ResultOf(operation, this, on), duplicate, Detail);

    public ItemResult ToItem(KeyWrite operation, Execution on) => ToItem(RuleTable.Of(operation).ResultOf(operation, this, on));

    public ItemResult ToItem(Result? result) => new(Code, Outcome, Detail, result) { IsHeldBack = HeldBack };

    private string? Detail => Code switch
    {
        ErrorCode.None => null,
        _ when HeldBack => "not done because another item failed",
        _ when Items is { } items && Array.FindIndex(items, item => !item.HeldBack && item.Code != ErrorCode.None) is >= 0 and var failed =>
            $"nothing was written because item {failed} failed: {items[failed].Detail}",
        ErrorCode.ConditionFailed => "the condition does not hold for the key's current revision",
        ErrorCode.TooLarge => $"the value would be larger than {Limits.MaxValueBytes} bytes, "
            + $"or what the appends lead to larger than {Limits.MaxBatchAppendedBytes} together, "
            + $"or what the reads return larger than {Limits.MaxTransactionReadBytes} together",
        _ => "the value is not a decimal 64-bit integer, or the result does not fit into one",
    };
}
