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

        return Of(get, meta.ModRevision, destination.Written);
    }

    public override Result? Read(ReadOperation operation, KeyState current) =>
        current.Exists ? Of((Get)operation, current.Revision, current.Stored.ToArray()) : null;

    private static Found Of(Get get, ulong revision, ReadOnlyMemory<byte> stored) =>
        new(revision, get.WithoutValue ? StoredValue.WithoutValue(stored) : stored);
}
