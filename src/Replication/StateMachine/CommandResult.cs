using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What one request of an entry came to, the same on every replica and, through its idempotency record, for every copy of it.
/// </summary>
/// <param name="Code">None: executed. ConditionFailed and NotANumber executed too, and found that nothing was to be written.</param>
/// <param name="Outcome">NotApplied is proved; Unknown where a record that would tell is gone.</param>
/// <param name="Revision">
/// Of the write, a delete's included; for a batch of its last item. On ConditionFailed and NotANumber the key's current one, 0
/// when it is absent. 0 when refused.
/// </param>
/// <param name="Changed">A put created its key; a delete removed one.</param>
/// <param name="Number">The counter after an increment.</param>
/// <param name="Duplicate">The result of an earlier copy of the request; this copy did nothing.</param>
/// <param name="Detail">What went wrong; null on success.</param>
/// <param name="Items">Results of a batch's items in order; null for anything else, and for a batch that was refused.</param>
public readonly record struct CommandResult(
    ErrorCode Code, Outcome Outcome, ulong Revision, bool Changed, long Number, bool Duplicate, string? Detail,
    IReadOnlyList<CommandResult>? Items)
{
    internal static CommandResult Refused(ErrorCode code, Outcome outcome, string detail) =>
        new(code, outcome, Revision: 0, Changed: false, Number: 0, Duplicate: false, detail, Items: null);
}
