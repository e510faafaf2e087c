using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Ids for writes that came without one: this loop is their client. They make the internal hop and its retries exactly-once;
/// the caller's own second request is a new write. Such an id never leaves the cluster, so it carries no time of first
/// sending: the group's time at first apply is taken, and retries end with the request's deadline, far inside the window.
/// </summary>
internal sealed class WriteIds(UInt128 client)
{
    private readonly HashSet<ulong> _unanswered = [];
    private ulong _last;
    private ulong _ackedBelow = 1;

    public RequestId Next()
    {
        ulong sequence = ++_last;
        _unanswered.Add(sequence);
        return new RequestId(client, sequence, FirstSentMs: 0, AckedBelow: _ackedBelow);
    }

    /// <summary>The request was answered, whatever the answer: it will not be retried, so its record may go.</summary>
    public void Answered(ulong sequence)
    {
        _unanswered.Remove(sequence);
        while (_ackedBelow <= _last && !_unanswered.Contains(_ackedBelow))
        {
            _ackedBelow++;
        }
    }
}
