using System.Buffers;
using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// What one kind of write does to the state. A rule is a function of the state and the operation: it sees no clock, no configuration and
/// no order of a hash table.
/// </summary>
internal abstract class WriteRule
{
    /// <summary>Of the operation.</summary>
    public abstract byte Code { get; }

    /// <summary>Executes the write, or finds that nothing is to be written.</summary>
    /// <param name="operation">Of this rule's kind.</param>
    /// <param name="revision">Of its first key; each further key has the next one.</param>
    /// <param name="on">What it may touch.</param>
    public abstract ExecutedOutcome Execute(WriteOperation operation, ulong revision, Execution on);

    /// <summary>What the caller is told, now or when a copy comes.</summary>
    /// <param name="operation">Of this rule's kind.</param>
    /// <param name="outcome">Of it, now or as it was recorded.</param>
    /// <param name="on">As the request left it, or as its copy finds it.</param>
    public abstract Result? ResultOf(WriteOperation operation, in ExecutedOutcome outcome, Execution on);
}

/// <summary>The table, and the virtual nodes of the keys of the request that is being executed, in order.</summary>
internal sealed class Execution(GroupTable table)
{
    public GroupTable Table => table;

    public List<int> VirtualNodes { get; } = [];

    /// <summary>What the reads of a request found while it was executed, by their place in its list; nothing when a copy is answered.</summary>
    public List<Result?> Reads { get; } = [];

    /// <summary>Somebody waits for what the reads find. They have their limit whether they are kept or not.</summary>
    public bool ShowsReads { get; private set; }

    /// <summary>Where a rule builds a stored value; empty before each decision.</summary>
    public ArrayBufferWriter<byte> Scratch { get; private set; } = new();

    /// <summary>
    /// Bytes of values that the present entry has stored or copied so far: what it costs, which a request of a few bytes can make large.
    /// </summary>
    public long MovedBytes { get; set; }

    /// <summary>Before each request.</summary>
    public void Begin(bool showsReads)
    {
        ShowsReads = showsReads;
        Reads.Clear();
    }

    /// <summary>Behind each entry: a node has many groups, and nothing of the size of a value stays with each of them.</summary>
    public void Release()
    {
        Reads.Clear();
        if (Scratch.Capacity > MaxKeptBytes)
        {
            Scratch = new ArrayBufferWriter<byte>();
        }
    }

    /// <summary>A key as the table has it.</summary>
    public KeyState StateOf(int virtualNode, ReadOnlySpan<byte> key)
    {
        bool exists = table.TryPeek(virtualNode, key, out RecordMeta meta, out ReadOnlySpan<byte> stored);
        return new KeyState(exists, meta.ModRevision, stored);
    }

    public void Write(int virtualNode, ReadOnlySpan<byte> key, bool existed, ulong revision, KeyChange change, ReadOnlySpan<byte> stored)
    {
        if (change == KeyChange.Put)
        {
            table.Put(virtualNode, key, stored, revision);
            MovedBytes += stored.Length;
        }
        else if (existed)
        {
            table.Delete(virtualNode, key, revision);
        }
    }

    /// <summary>A scratch that a large value made bigger than this is given up behind its entry.</summary>
    private const int MaxKeptBytes = 16 * 1024;
}

/// <summary>A key as a write finds it.</summary>
internal readonly ref struct KeyState(bool exists, ulong revision, ReadOnlySpan<byte> stored)
{
    public readonly bool Exists = exists;

    /// <summary>0 when the key is absent.</summary>
    public readonly ulong Revision = exists ? revision : 0;

    public readonly ReadOnlySpan<byte> Stored = stored;

    public int ValueBytes => StoredValue.TrySplit(Stored, out _, out ReadOnlySpan<byte> value) ? value.Length : 0;
}

internal enum KeyChange : byte
{
    Put,
    Remove,
}

/// <summary>What a write of one key comes to: a new stored value, nothing left, or a failure that writes nothing.</summary>
internal readonly ref struct Effect
{
    private Effect(ErrorCode code, KeyChange change, ReadOnlySpan<byte> stored, bool changed, long number)
    {
        Code = code;
        Change = change;
        Stored = stored;
        Changed = changed;
        Number = number;
    }

    public ErrorCode Code { get; }

    public KeyChange Change { get; }

    public ReadOnlySpan<byte> Stored { get; }

    public int ValueBytes => StoredValue.TrySplit(Stored, out _, out ReadOnlySpan<byte> value) ? value.Length : 0;

    /// <summary>The key came to be, or ceased to be.</summary>
    public bool Changed { get; }

    public long Number { get; }

    public static Effect Put(ReadOnlySpan<byte> stored, bool created, long number = 0) =>
        new(ErrorCode.None, KeyChange.Put, stored, created, number);

    public static Effect Remove(bool existed) => new(ErrorCode.None, KeyChange.Remove, default, existed, 0);

    public static Effect Fail(ErrorCode code) => new(code, default, default, false, 0);
}
