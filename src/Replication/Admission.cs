using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// The node's places for requests that are submitted and not answered, and for the bytes in them: every source of requests gets its share
/// (<see cref="FairShare"/>). Any thread.
/// </summary>
internal sealed class Admission(int maxRequests, long maxBytes)
{
    private long _bytes;
    private int _requests;
    private long _refused;

    public int Requests => Volatile.Read(ref _requests);

    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Requests that got no place, since the start.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Null: the request has its place, until <see cref="End"/>. Otherwise why not, in words. The first request of a source needs no share.</summary>
    public string? Begin(KvRequest request, RequestSource? source)
    {
        long charged = ChargedBytes(request);
        int count = Interlocked.Increment(ref _requests);
        long bytes = Interlocked.Add(ref _bytes, charged);
        (int own, long ownBytes) = source?.Begin(charged) ?? (1, charged);
        bool fits = count <= maxRequests && (bytes <= maxBytes || count == 1);
        if (fits && (own == 1 || (FairShare.Allows(maxRequests, count, own) && FairShare.Allows(maxBytes, bytes, ownBytes))))
        {
            return null;
        }

        End(request, source);
        Interlocked.Increment(ref _refused);
        return fits
            ? $"This connection has its share of the requests that this node takes in flight ({own - 1} of {count - 1}, {ownBytes - charged:N0} of {bytes - charged:N0} bytes)"
            : $"This node has {maxRequests} requests or {maxBytes:N0} bytes of them in flight";
    }

    public void End(KvRequest request, RequestSource? source)
    {
        long bytes = ChargedBytes(request);
        Interlocked.Decrement(ref _requests);
        Interlocked.Add(ref _bytes, -bytes);
        source?.End(bytes);
    }

    private static long ChargedBytes(KvRequest request) =>
        request.Operation is WriteOperation write ? write.DataBytes : request.Key.Length;
}
