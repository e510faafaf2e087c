using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>What one kind of read takes from a table. Any thread may ask; the table is read at one index.</summary>
internal abstract class ReadRule
{
    /// <summary>Of the operation.</summary>
    public abstract byte Code { get; }

    /// <summary>Null when there is nothing under the key.</summary>
    public abstract Result? Read(ReadOperation operation, GroupTable table, int virtualNode, out ulong atIndex);

    /// <summary>The same of a key in the middle of an entry, for the reads of a transaction; the values are copied.</summary>
    public abstract Result? Read(ReadOperation operation, KeyState current);
}
