using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

internal sealed class GetRule : ReadRule
{
    public override byte Code => Get.OperationCode;

    public override Result? Read(ReadOperation operation, GroupTable table, int virtualNode, out ulong atIndex)
    {
        var get = (Get)operation;
        var destination = new ExactBuffer();
        if (table.Get(virtualNode, get.Key.Span, destination, out RecordMeta meta, out atIndex) == ReadOutcome.Absent)
        {
            return null;
        }

        return new Found(meta.ModRevision, get.WithoutValue ? StoredValue.WithoutValue(destination.Written) : destination.Written);
    }
}
