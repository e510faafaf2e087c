using System.Threading.Channels;

namespace KvStore.Protocol;

/// <summary>
/// Wakes one waiting loop; any number of Set before it looks count as one. The waiter continues on the pool, never on the
/// thread that sets. After End a waiter is told to stop.
/// </summary>
internal sealed class Signal
{
    private readonly Channel<bool> _channel = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    public void Set() => _channel.Writer.TryWrite(true);

    public void End() => _channel.Writer.TryComplete();

    /// <summary>False: ended.</summary>
    public async ValueTask<bool> WaitAsync()
    {
        bool open = await _channel.Reader.WaitToReadAsync().ConfigureAwait(false);
        _channel.Reader.TryRead(out _);
        return open;
    }
}
