using System.Threading.Channels;

namespace KvStore.Protocol;

/// <summary>
/// The receiving end of an answer in parts. Items wait here until they are taken, never more of them than the window and one item:
/// the other side is given new credit only for what was taken. One reader at a time. Disposing before the end cancels.
/// </summary>
public sealed class ItemReader : IAsyncDisposable
{
    private readonly RequestChannel _channel;
    private readonly int _window;
    private readonly Channel<byte[]> _items = Channel.CreateUnbounded<byte[]>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = false });

    private RequestResult _end;
    private int _ended;
    private long _taken;

    internal ItemReader(RequestChannel channel, ulong id, Operation asked, int window, long patience)
    {
        _channel = channel;
        Id = id;
        Asked = asked;
        _window = window;
        Credit = window;
        Patience = patience;
    }

    /// <summary>How the answer ended; set once <see cref="TakeAsync"/> has returned null.</summary>
    public RequestResult End => _items.Reader.Completion.IsCompleted
        ? _end
        : throw new InvalidOperationException("the answer has not ended, or not all of it has been taken");

    internal ulong Id { get; }

    internal Operation Asked { get; }

    // What follows is guarded by the channel's lock.

    /// <summary>What the other side may still send; the item that uses it up may pass it.</summary>
    internal long Credit { get; set; }

    /// <summary>Bytes of the items that have come and have not been taken.</summary>
    internal long HeldBytes { get; set; }

    /// <summary>In the clock's ticks: when an answer of which nothing comes and nothing is here is given up.</summary>
    internal long DueAt { get; set; }

    internal long Patience { get; }

    /// <summary>Nobody takes items any more; what comes is dropped until the reply.</summary>
    internal bool IsAbandoned { get; set; }

    /// <summary>The next item, or null at the end. Cancelling stops the waiting, not the answer.</summary>
    public async ValueTask<byte[]?> TakeAsync(CancellationToken cancellationToken = default)
    {
        byte[]? item;
        while (!_items.Reader.TryRead(out item))
        {
            if (!await _items.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                return null;
            }
        }

        int bytes = FrameHeader.SizeBytes + item.Length;
        _taken += bytes;
        long credit = _taken >= _window / 2 ? _taken : 0;
        _taken -= credit;
        _channel.OnTaken(this, bytes, credit);
        return item;
    }

    public ValueTask DisposeAsync()
    {
        _channel.Abandon(this);
        while (_items.Reader.TryRead(out var item))
        {
            _channel.OnTaken(this, FrameHeader.SizeBytes + item.Length, credit: 0);
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>Under the lock, in the order of arrival.</summary>
    internal void Add(byte[] item) => _items.Writer.TryWrite(item);

    /// <summary>The first end counts.</summary>
    internal void TryEnd(RequestResult end)
    {
        // Written before the completion is published, and never again afterwards.
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            _end = end;
            _items.Writer.TryComplete();
        }
    }
}
