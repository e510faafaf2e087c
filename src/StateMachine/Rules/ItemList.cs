using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// Operations of one request, all or none, in order: an item sees what the items before it would write. When one fails, nothing is
/// written, the list has the code of the first that failed, and every item shows its key's current revision.
/// </summary>
internal static class ItemList
{
    /// <param name="items">Writes of one key, and reads.</param>
    /// <param name="firstKey">Place of the first item's key among those of the request: it gives virtual node and revision.</param>
    /// <param name="revision">Of the request's first key.</param>
    /// <param name="on">What the items may touch; what reads find is left in its Reads.</param>
    /// <param name="failure">None when everything was done.</param>
    public static ExecutedOutcome[] Execute(
        IReadOnlyList<Operation> items, int firstKey, ulong revision, Execution on, out ErrorCode failure)
    {
        var overlay = new BatchOverlay();
        var outcomes = new ExecutedOutcome[items.Count];
        failure = ErrorCode.None;
        int grown = 0;
        int read = 0;
        for (int i = 0; i < items.Count; i++)
        {
            Operation item = items[i];
            KeyState state = overlay.TryGet(item.Key, out BatchOverlay.PendingWrite before)
                ? before.AsState()
                : on.StateOf(on.VirtualNodes[firstKey + i], item.Key.Span);
            Result? found = null;
            if (item is KeyWrite write)
            {
                ulong itemRevision = revision + (uint)(firstKey + i);
                outcomes[i] = RuleTable.Of(write).Judge(write, itemRevision, state, on.Scratch, out Effect effect);
                if (outcomes[i].Code == ErrorCode.None)
                {
                    grown += write.GrowsValue ? effect.ValueBytes : 0;
                    on.MovedBytes += effect.Stored.Length;
                    overlay.Add(write, firstKey + i, itemRevision, state.Exists, effect);
                }
            }
            else
            {
                // The bytes are counted before they are copied.
                read += state.ValueBytes;
                on.MovedBytes += on.ShowsReads ? state.ValueBytes : 0;
                found = read > Limits.MaxTransactionReadBytes || !on.ShowsReads ? null : TableRead.Of((ReadOperation)item, state);
                outcomes[i] = ExecutedOutcome.Done(state.Revision, changed: state.Exists);
            }

            on.Reads.Add(found);
            if (grown > Limits.MaxBatchAppendedBytes || read > Limits.MaxTransactionReadBytes)
            {
                // The rest is not looked at: each item could cost as much again.
                outcomes[i] = ExecutedOutcome.Failed(ErrorCode.TooLarge, currentRevision: 0);
                failure = failure == ErrorCode.None ? ErrorCode.TooLarge : failure;
                break;
            }

            failure = failure == ErrorCode.None ? outcomes[i].Code : failure;
        }

        if (failure != ErrorCode.None)
        {
            HoldBack(items, firstKey, outcomes, failure, on);
            return outcomes;
        }

        foreach (BatchOverlay.PendingWrite write in overlay.Writes)
        {
            on.Write(on.VirtualNodes[write.Item], write.Key.Span, write.Existed, write.Revision, write.Change, write.Stored.Span);
        }

        return outcomes;
    }

    /// <summary>What the caller is told of each item, now or when a copy comes.</summary>
    public static ItemResult[] ResultsOf(IReadOnlyList<Operation> items, int firstKey, in ExecutedOutcome outcome, Execution on)
    {
        // Where the id alone vouches for what was asked, a record may be that of another operation: it may have other items then, or none.
        var results = new ItemResult[Math.Min(outcome.Items?.Length ?? 0, items.Count)];
        int shown = 0;
        for (int i = 0; i < results.Length; i++)
        {
            ExecutedOutcome item = outcome.Items![i];
            results[i] = items[i] is KeyWrite write ? item.ToItem(write, on)
                : item.Code != ErrorCode.None ? item.ToItem(new Current(item.Revision))
                : !item.Changed ? new ItemResult(ErrorCode.KeyNotFound, Outcome.None, null, null)
                : Found((ReadOperation)items[i], firstKey, i, item.Revision, on, ref shown);
        }

        return results;
    }

    // A record keeps no values. A copy of the request is shown the value while its key still has it: the revision is compared before
    // anything is copied, for by now there may be far more than was read.
    private static ItemResult Found(ReadOperation read, int firstKey, int place, ulong revision, Execution on, ref int shown)
    {
        Result? found = place < on.Reads.Count ? on.Reads[place] : null;
        if (place >= on.Reads.Count)
        {
            KeyState state = on.StateOf(on.VirtualNodes[firstKey + place], read.Key.Span);
            shown += state.Revision == revision ? state.ValueBytes : 0;
            found = state.Revision == revision && shown <= Limits.MaxTransactionReadBytes ? TableRead.Of(read, state) : null;
            on.MovedBytes += found is null ? 0 : state.ValueBytes;
        }

        return found is not null && found.Revision == revision
            ? new ItemResult(ErrorCode.None, Outcome.None, null, found)
            : new ItemResult(
                ErrorCode.Superseded, Outcome.None, "the version that was read has been replaced since, and results keep no values", new Current(revision));
    }

    // The revisions the items would have written never came to be, so each shows what the table has.
    private static void HoldBack(IReadOnlyList<Operation> items, int firstKey, ExecutedOutcome[] outcomes, ErrorCode failure, Execution on)
    {
        for (int i = 0; i < outcomes.Length; i++)
        {
            KeyState state = on.StateOf(on.VirtualNodes[firstKey + i], items[i].Key.Span);
            bool heldBack = outcomes[i].Code == ErrorCode.None;
            outcomes[i] = ExecutedOutcome.Failed(heldBack ? failure : outcomes[i].Code, state.Revision, heldBack);
        }
    }
}
