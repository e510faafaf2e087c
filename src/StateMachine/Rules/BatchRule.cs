using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// All items or none, in order: an item sees what the items before it would write. Item n has the revision first + n. When
/// one fails, nothing is written, the batch has the code of the first that failed, and every item shows its key's current
/// revision.
/// </summary>
internal sealed class BatchRule : WriteRule
{
    public override byte Code => Batch.OperationCode;

    public override ExecutedOutcome Execute(WriteOperation operation, ulong revision, Execution on)
    {
        IReadOnlyList<KeyWrite> items = ((Batch)operation).Items;
        var overlay = new BatchOverlay();
        var outcomes = new ExecutedOutcome[items.Count];
        ErrorCode failure = ErrorCode.None;
        int grown = 0;
        for (int i = 0; i < items.Count; i++)
        {
            KeyWrite item = items[i];
            KeyState state = overlay.TryGet(item.Key, out BatchOverlay.PendingWrite before)
                ? before.AsState()
                : on.StateOf(on.VirtualNodes[i], item.Key.Span);
            ulong itemRevision = revision + (uint)i;
            outcomes[i] = RuleTable.Of(item).Judge(item, itemRevision, state, on.Scratch, out Effect effect);
            if (outcomes[i].Code == ErrorCode.None && item.GrowsValue)
            {
                StoredValue.TrySplit(effect.Stored, out _, out ReadOnlySpan<byte> value);
                grown += value.Length;
                if (grown > Limits.MaxBatchAppendedBytes)
                {
                    // The rest is not looked at: each item could cost as much again.
                    outcomes[i] = ExecutedOutcome.Failed(ErrorCode.TooLarge, currentRevision: 0);
                    failure = failure == ErrorCode.None ? ErrorCode.TooLarge : failure;
                    break;
                }
            }

            if (outcomes[i].Code == ErrorCode.None)
            {
                overlay.Add(item, i, itemRevision, state.Exists, effect);
            }
            else if (failure == ErrorCode.None)
            {
                failure = outcomes[i].Code;
            }
        }

        if (failure != ErrorCode.None)
        {
            HoldBack(items, outcomes, failure, on);
            return ExecutedOutcome.Failed(failure, currentRevision: 0) with { Items = outcomes };
        }

        foreach (BatchOverlay.PendingWrite write in overlay.Writes)
        {
            on.Write(on.VirtualNodes[write.Item], write.Key.Span, write.Existed, write.Revision, write.Change, write.Stored.Span);
        }

        return ExecutedOutcome.Done(revision + (uint)items.Count - 1, changed: false) with { Items = outcomes };
    }

    public override Result? ResultOf(WriteOperation operation, in ExecutedOutcome outcome)
    {
        // Under digests of different algorithms a record may be that of another operation: it has no items then.
        IReadOnlyList<KeyWrite> items = ((Batch)operation).Items;
        var results = new ItemResult[Math.Min(outcome.Items?.Length ?? 0, items.Count)];
        for (int i = 0; i < results.Length; i++)
        {
            results[i] = outcome.Items![i].ToItem(items[i]);
        }

        return new BatchResult(outcome.Revision, results);
    }

    // The revisions the items would have written never came to be, so each shows what the table has.
    private static void HoldBack(IReadOnlyList<KeyWrite> items, ExecutedOutcome[] outcomes, ErrorCode failure, Execution on)
    {
        for (int i = 0; i < outcomes.Length; i++)
        {
            KeyState state = on.StateOf(on.VirtualNodes[i], items[i].Key.Span);
            bool heldBack = outcomes[i].Code == ErrorCode.None;
            outcomes[i] = ExecutedOutcome.Failed(heldBack ? failure : outcomes[i].Code, state.Revision, heldBack);
        }
    }
}
