using System.Buffers;

namespace KvStore.Protocol;

/// <summary>What asking an <see cref="ItemSource"/> came to.</summary>
public enum ItemStep : byte
{
    /// <summary>One item has been written.</summary>
    Item = 0,

    /// <summary>There is nothing now; the source calls Ready when it is worth asking again.</summary>
    Waiting = 1,

    /// <summary>There is nothing more: <see cref="ItemSource.Reply"/> ends the answer.</summary>
    End = 2,
}

/// <summary>
/// Where the items of an answer in parts come from. It is asked for one item at a time, and only when the client takes more and the
/// transport has room: between two questions it may have to wait for as long as the client likes, so it must hold nothing then that
/// others need, no snapshot and no lock. Next and Close are never called at the same time, nor under a lock.
/// </summary>
public abstract class ItemSource
{
    private AnswerStream? _stream;

    /// <summary>The end of the answer, once Next has said End.</summary>
    public virtual KvReply Reply { get; } = new();

    /// <summary>Writes the next item, if there is one now. Must not block; what it throws ends the connection.</summary>
    public abstract ItemStep Next(IBufferWriter<byte> item);

    /// <summary>Called once, whatever the end was; Next is not called any more. Must not throw.</summary>
    public abstract void Close();

    /// <summary>After Next said Waiting: ask again. Any thread, any number of times; never blocks.</summary>
    protected void Ready() => Volatile.Read(ref _stream)?.OnReady();

    internal void Attach(AnswerStream stream) => Volatile.Write(ref _stream, stream);
}
