namespace KvStore.Node.Binary;

/// <summary>The binary port since start; Open is now.</summary>
public readonly record struct BinaryCounters(long Open, long Accepted, long HellosMissing, long HellosRefused, long MalformedConnections);

/// <summary>The fields of <see cref="BinaryCounters"/> while they are counted, by many connections at once.</summary>
internal sealed class BinaryMeter
{
    private long _open;
    private long _accepted;
    private long _hellosMissing;
    private long _hellosRefused;
    private long _malformedConnections;

    public BinaryCounters Read() => new(
        Volatile.Read(ref _open), Volatile.Read(ref _accepted), Volatile.Read(ref _hellosMissing), Volatile.Read(ref _hellosRefused),
        Volatile.Read(ref _malformedConnections));

    public void Opened()
    {
        Interlocked.Increment(ref _open);
        Interlocked.Increment(ref _accepted);
    }

    public void Closed() => Interlocked.Decrement(ref _open);

    public void HelloMissing() => Interlocked.Increment(ref _hellosMissing);

    public void Refused() => Interlocked.Increment(ref _hellosRefused);

    public void Malformed() => Interlocked.Increment(ref _malformedConnections);
}
