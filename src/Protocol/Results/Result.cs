namespace KvStore.Protocol;

/// <summary>
/// What an operation came to: one record per shape of answer. On the wire <c>[kind, revision, …]</c>, the fields of each kind drawn at
/// its record; a reader passes over fields behind those it knows.
/// </summary>
/// <param name="Revision">Of the key; what it means for each result stands there.</param>
public abstract record Result(ulong Revision)
{
    /// <summary>On the wire; never reused, never changed.</summary>
    internal abstract byte Kind { get; }

    /// <summary>Fields behind kind and revision.</summary>
    internal abstract int Fields { get; }

    /// <summary>Bytes a reply holds because of it; what waits for a slow reader is counted by this.</summary>
    public virtual int HeldBytes => 0;

    /// <summary>The same without the values that were read: what a write did, for somebody who takes no more than that.</summary>
    public virtual Result WithoutValues() => this;

    internal abstract void WriteFields(ref MessagePackWriter writer);

    internal void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2 + Fields);
        writer.Write((uint)Kind);
        writer.Write(Revision);
        WriteFields(ref writer);
    }

    internal static bool TryRead(ref MessagePackReader reader, bool isItem, out Result? result)
    {
        result = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < 2 || !reader.TryRead(out byte kind) || !reader.TryRead(out ulong revision)
            || kind < 1 || kind > Readers.Length || (isItem && kind is (BatchResult.ResultKind or ClusterRouting.ResultKind or TransactionResult.ResultKind)))
        {
            return false;
        }

        ResultReader read = Readers[kind - 1];
        return read(ref reader, revision, fields - 2, out result);
    }

    private delegate bool ResultReader(ref MessagePackReader reader, ulong revision, int fields, out Result? result);

    /// <summary>By kind, from 1.</summary>
    private static readonly ResultReader[] Readers =
    [
        Found.TryReadFields, Written.TryReadFields, Deleted.TryReadFields, Counted.TryReadFields, BatchResult.TryReadFields, Current.TryReadFields,
        ClusterRouting.TryReadFields, TransactionResult.TryReadFields,
    ];
}
