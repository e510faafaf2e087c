using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// Memory for the values of answers that are being put together or sent, over all requests of the REST door. Without it a short request for
/// many large values, or a client that takes its answer slowly, would hold as much as it likes. Who does not know yet how much a value has
/// takes what it may have at most, and gives back the rest when it is there.
/// </summary>
/// <param name="limit">Bytes. Full: a request that holds nothing waits for its turn, until its deadline; any other is answered Overloaded.</param>
internal sealed class AnswerBudget(long limit)
{
    /// <summary>Of a node with much memory.</summary>
    public const long MostBytes = 128L << 20;

    /// <summary>The largest answer that one request may have, or it would wait for ever.</summary>
    public const long LeastBytes = Limits.MaxRequestBytes;

    /// <summary>Values up to this are sent without asking: one is no more than what the server buffers for a connection anyway.</summary>
    public const int FreeBytes = 64 << 10;

    private readonly Lock _gate = new();
    private readonly LinkedList<Waiter> _waiting = [];
    private long _held;

    public long HeldBytes
    {
        get
        {
            lock (_gate)
            {
                return _held;
            }
        }
    }

    /// <summary>At once or not at all; never past one that waits.</summary>
    public bool TryTake(long bytes)
    {
        lock (_gate)
        {
            if (_waiting.Count != 0 || _held + bytes > limit)
            {
                return false;
            }

            _held += bytes;
            return true;
        }
    }

    /// <summary>In the order of asking. Only for who holds nothing: else all could wait for each other.</summary>
    /// <returns>False: the time is over, or nobody wants it any more.</returns>
    public async ValueTask<bool> TakeAsync(long bytes, int waitMs, CancellationToken aborted)
    {
        LinkedListNode<Waiter> waiter;
        lock (_gate)
        {
            if (_waiting.Count == 0 && _held + bytes <= limit)
            {
                _held += bytes;
                return true;
            }

            waiter = _waiting.AddLast(new Waiter(bytes, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
        }

        try
        {
            await waiter.Value.Granted.Task.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(0, waitMs)), aborted);
            return true;
        }
        catch (Exception end) when (end is TimeoutException or OperationCanceledException)
        {
            lock (_gate)
            {
                if (waiter.List is null)
                {
                    return true; // granted in the same moment
                }

                _waiting.Remove(waiter);
                Grant();
                return false;
            }
        }
    }

    public void Return(long bytes)
    {
        lock (_gate)
        {
            _held -= bytes;
            Grant();
        }
    }

    private void Grant()
    {
        while (_waiting.First is { } first && _held + first.Value.Bytes <= limit)
        {
            _waiting.RemoveFirst();
            _held += first.Value.Bytes;
            first.Value.Granted.SetResult();
        }
    }

    private readonly record struct Waiter(long Bytes, TaskCompletionSource Granted);
}
