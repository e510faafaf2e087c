namespace KvStore.Node.Binary;

/// <summary>The binary port since start; Open, Streams and what is counted in bytes are now.</summary>
public readonly record struct BinaryCounters(long Open, long Accepted, long HellosMissing, long HellosRefused, long MalformedConnections)
{
    /// <summary>Connections closed because a frame began and did not end in time.</summary>
    public long FramesTimedOut { get; init; }

    /// <summary>Answers in parts that have not ended.</summary>
    public long Streams { get; init; }

    /// <summary>Items that no transport has taken yet.</summary>
    public long StreamBytes { get; init; }

    /// <summary>Memory set aside for large frames that have not come whole.</summary>
    public long UnfinishedFrameBytes { get; init; }
}

/// <summary>The fields of <see cref="BinaryCounters"/> while they are counted, by many connections at once.</summary>
internal sealed class BinaryMeter
{
    private long _open;
    private long _accepted;
    private long _hellosMissing;
    private long _hellosRefused;
    private long _malformedConnections;
    private long _framesTimedOut;

    public BinaryCounters Read() => new(
        Volatile.Read(ref _open), Volatile.Read(ref _accepted), Volatile.Read(ref _hellosMissing), Volatile.Read(ref _hellosRefused),
        Volatile.Read(ref _malformedConnections))
    {
        FramesTimedOut = Volatile.Read(ref _framesTimedOut),
    };

    public void Opened()
    {
        Interlocked.Increment(ref _open);
        Interlocked.Increment(ref _accepted);
    }

    public void Closed() => Interlocked.Decrement(ref _open);

    public void HelloMissing() => Interlocked.Increment(ref _hellosMissing);

    public void Refused() => Interlocked.Increment(ref _hellosRefused);

    public void FrameTimedOut() => Interlocked.Increment(ref _framesTimedOut);

    public void Malformed() => Interlocked.Increment(ref _malformedConnections);
}
