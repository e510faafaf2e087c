using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>Finds the record a read is about and asks the read what it answers. Any thread may; the table is read at one index.</summary>
public static class TableRead
{
    /// <param name="read">Of a key of the table.</param>
    /// <param name="table">Of the group.</param>
    /// <param name="virtualNode">Of its key.</param>
    /// <param name="atIndex">The applied index the table was read at.</param>
    /// <returns>Null when there is nothing under the key.</returns>
    /// <exception cref="ObjectDisposedException">The table was replaced by an installed snapshot.</exception>
    public static Result? Of(ReadOperation read, GroupTable table, int virtualNode, out ulong atIndex)
    {
        var stored = new ExactBuffer();
        return table.Get(virtualNode, read.Key.Span, stored, out RecordMeta meta, out atIndex) == ReadOutcome.Absent
            ? null
            : read.Answer(meta.ModRevision, stored.Written);
    }

    /// <summary>The same of a key in the middle of an entry, for the reads of a transaction; the value is copied.</summary>
    internal static Result? Of(ReadOperation read, KeyState current) =>
        current.Exists ? read.Answer(current.Revision, current.Stored.ToArray()) : null;
}
