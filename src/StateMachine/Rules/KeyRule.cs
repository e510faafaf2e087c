using System.Buffers;
using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>A write of one key: the condition first, then what the operation itself says.</summary>
internal abstract class KeyRule : WriteRule
{
    public sealed override ExecutedOutcome Execute(WriteOperation operation, ulong revision, Execution on)
    {
        var write = (KeyWrite)operation;
        int virtualNode = on.VirtualNodes[0];
        KeyState current = on.StateOf(virtualNode, write.Key.Span);
        ExecutedOutcome outcome = Judge(write, revision, current, on.Scratch, out Effect effect);
        if (outcome.Code == ErrorCode.None)
        {
            on.Write(virtualNode, write.Key.Span, current.Exists, revision, effect.Change, effect.Stored);
        }

        return outcome;
    }

    public sealed override Result? ResultOf(WriteOperation operation, in ExecutedOutcome outcome, Execution on) =>
        outcome.Code == ErrorCode.None ? ResultOf(outcome) : new Current(outcome.Revision);

    /// <summary>What the write would come to on this state of its key; nothing is written.</summary>
    public ExecutedOutcome Judge(KeyWrite write, ulong revision, KeyState current, ArrayBufferWriter<byte> scratch, out Effect effect)
    {
        scratch.ResetWrittenCount();
        effect = Holds(write.Condition, current) ? Decide(write, current, scratch) : Effect.Fail(ErrorCode.ConditionFailed);
        return effect.Code == ErrorCode.None
            ? ExecutedOutcome.Done(revision, effect.Changed, effect.Number)
            : ExecutedOutcome.Failed(effect.Code, current.Revision);
    }

    /// <param name="write">Whose condition holds.</param>
    /// <param name="current">Its key.</param>
    /// <param name="scratch">Empty; a new stored value may be built here.</param>
    private protected abstract Effect Decide(KeyWrite write, KeyState current, ArrayBufferWriter<byte> scratch);

    /// <param name="outcome">Of a write that was executed.</param>
    private protected abstract Result ResultOf(in ExecutedOutcome outcome);

    private static bool Holds(KvCondition condition, KeyState current) => condition.Kind switch
    {
        ConditionKind.None => true,
        ConditionKind.RevisionIs => current.Exists && current.Revision == condition.Revision,
        ConditionKind.Exists => current.Exists,
        _ => !current.Exists,
    };
}
