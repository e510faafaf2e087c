using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>All items or none, in order (<see cref="ItemList"/>). Item n has the revision first + n.</summary>
internal sealed class BatchRule : WriteRule
{
    public override byte Code => Batch.OperationCode;

    public override ExecutedOutcome Execute(WriteOperation operation, ulong revision, Execution on)
    {
        IReadOnlyList<KeyWrite> items = ((Batch)operation).Items;
        ExecutedOutcome[] outcomes = ItemList.Execute(items, firstKey: 0, revision, on, out ErrorCode failure);
        return failure == ErrorCode.None
            ? ExecutedOutcome.Done(revision + (uint)items.Count - 1, changed: false) with { Items = outcomes }
            : ExecutedOutcome.Failed(failure, currentRevision: 0) with { Items = outcomes };
    }

    public override Result? ResultOf(WriteOperation operation, in ExecutedOutcome outcome, Execution on) =>
        new BatchResult(outcome.Revision, ItemList.ResultsOf(((Batch)operation).Items, firstKey: 0, outcome, on));
}
