using System.Threading.Channels;

namespace KvStore.Node.Peers;

/// <summary>
/// An auto-reset event one task can await. Setting it twice before it is awaited is setting it once; a setter never runs the
/// awaiting code, so a worker's thread is not borrowed.
/// </summary>
internal sealed class AsyncSignal
{
    private readonly Channel<bool> _channel = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    public void Set() => _channel.Writer.TryWrite(true);

    public ValueTask<bool> WaitAsync(CancellationToken cancellation) => _channel.Reader.ReadAsync(cancellation);
}
