namespace KvStore.Node.Peers;

/// <summary>Totals of the peer port since start.</summary>
public readonly record struct PeerCounters(
    long PayloadsSent, long BytesSent, long PayloadsReceived, long BytesReceived, long DroppedLaneFull,
    long Connects, long Losses, long HellosRefused, long MalformedConnections)
{
    /// <summary>Of HellosRefused, those that said more starts than are believed.</summary>
    public long IncarnationsRefused { get; init; }
}

/// <summary>The fields of <see cref="PeerCounters"/> while they are counted, by many tasks at once.</summary>
internal sealed class PeerMeter
{
    private long _payloadsSent;
    private long _bytesSent;
    private long _payloadsReceived;
    private long _bytesReceived;
    private long _droppedLaneFull;
    private long _connects;
    private long _losses;
    private long _hellosRefused;
    private long _malformedConnections;

    public PeerCounters Read() => new(
        Volatile.Read(ref _payloadsSent), Volatile.Read(ref _bytesSent),
        Volatile.Read(ref _payloadsReceived), Volatile.Read(ref _bytesReceived),
        Volatile.Read(ref _droppedLaneFull), Volatile.Read(ref _connects), Volatile.Read(ref _losses),
        Volatile.Read(ref _hellosRefused), Volatile.Read(ref _malformedConnections));

    public void Sent(int payloads, int bytes)
    {
        Interlocked.Add(ref _payloadsSent, payloads);
        Interlocked.Add(ref _bytesSent, bytes);
    }

    public void Received(int bytes)
    {
        Interlocked.Increment(ref _payloadsReceived);
        Interlocked.Add(ref _bytesReceived, bytes);
    }

    public void LaneFull() => Interlocked.Increment(ref _droppedLaneFull);

    public void Connected() => Interlocked.Increment(ref _connects);

    public void Lost() => Interlocked.Increment(ref _losses);

    public void Refused() => Interlocked.Increment(ref _hellosRefused);

    public void Malformed() => Interlocked.Increment(ref _malformedConnections);
}
