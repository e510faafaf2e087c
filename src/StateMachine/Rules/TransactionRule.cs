using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>
/// The conditions are judged on the state before the transaction, then one of the two lists is executed, all of it or nothing
/// (<see cref="ItemList"/>). Item n of the request, conditions and both lists counted through, has the revision first + n.
/// </summary>
internal sealed class TransactionRule : WriteRule
{
    public override byte Code => Transaction.OperationCode;

    public override ExecutedOutcome Execute(WriteOperation operation, ulong revision, Execution on)
    {
        var transaction = (Transaction)operation;
        bool succeeded = true;
        for (int i = 0; i < transaction.Conditions.Count; i++)
        {
            KeyCondition condition = transaction.Conditions[i];
            succeeded &= Holds(condition, on.StateOf(on.VirtualNodes[i], condition.Key.Span));
        }

        IReadOnlyList<Operation> items = ChosenOf(transaction, succeeded, out int firstKey);
        ExecutedOutcome[] outcomes = ItemList.Execute(items, firstKey, revision, on, out ErrorCode failure);
        if (failure != ErrorCode.None)
        {
            return ExecutedOutcome.Failed(failure, currentRevision: 0) with { Changed = succeeded, Items = outcomes };
        }

        if (items.Count == 0)
        {
            return ExecutedOutcome.Done(revision: 0, succeeded); // a list of nothing is no list: a record has none
        }

        bool wrote = items.Any(item => item is KeyWrite);
        return ExecutedOutcome.Done(wrote ? revision + (uint)(firstKey + items.Count - 1) : 0, succeeded) with { Items = outcomes };
    }

    public override Result? ResultOf(WriteOperation operation, in ExecutedOutcome outcome, Execution on)
    {
        IReadOnlyList<Operation> items = ChosenOf((Transaction)operation, outcome.Changed, out int firstKey);
        return new TransactionResult(outcome.Revision, outcome.Changed, ItemList.ResultsOf(items, firstKey, outcome, on));
    }

    private static IReadOnlyList<Operation> ChosenOf(Transaction transaction, bool succeeded, out int firstKey)
    {
        firstKey = transaction.Conditions.Count + (succeeded ? 0 : transaction.Then.Count);
        return succeeded ? transaction.Then : transaction.Otherwise;
    }

    private static bool Holds(KeyCondition condition, KeyState current)
    {
        switch (condition.Kind)
        {
            case KeyConditionKind.RevisionIs:
                return current.Exists && current.Revision == condition.Revision;
            case KeyConditionKind.Exists:
                return current.Exists;
            case KeyConditionKind.Absent:
                return !current.Exists;
            case KeyConditionKind.StoredIs:
                return current.Exists && IsStored(current.Stored, condition.Value.Span);
            default:
                Invariant.Check(condition.Kind == KeyConditionKind.ValueIs, "a condition has a kind that its reader takes");
                return current.Exists && ValueIn(current.Stored).SequenceEqual(condition.Value.Span);
        }
    }

    // An older build may have spelled out the default type.
    private static bool IsStored(ReadOnlySpan<byte> stored, ReadOnlySpan<byte> wanted) =>
        ValueIn(stored).SequenceEqual(ValueIn(wanted)) && StoredValue.ContentTypeOf(stored) == StoredValue.ContentTypeOf(wanted);

    private static ReadOnlySpan<byte> ValueIn(ReadOnlySpan<byte> stored)
    {
        StoredValue.TrySplit(stored, out _, out ReadOnlySpan<byte> value);
        return value;
    }
}
