using System.Threading.Tasks.Sources;

namespace KvStore.Node.Peers;

/// <summary>
/// An auto-reset event one task can await. Setting it twice before it is awaited is setting it once; a setter never runs the
/// awaiting code, so a worker's thread is not borrowed. Waiting allocates nothing.
/// </summary>
internal sealed class AsyncSignal : IValueTaskSource
{
    private readonly Lock _gate = new();
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _cancellation;
    private bool _isSet;
    private bool _isAwaited;

    public void Set()
    {
        lock (_gate)
        {
            if (!_isAwaited)
            {
                _isSet = true;
                return;
            }

            _isAwaited = false;
        }

        _core.SetResult(true);
    }

    /// <summary>Await the result once, and at once.</summary>
    public ValueTask WaitAsync(CancellationToken cancellation)
    {
        ValueTask waiting;
        lock (_gate)
        {
            if (_isSet)
            {
                _isSet = false;
                return ValueTask.CompletedTask;
            }

            _core.Reset();
            _isAwaited = true;
            waiting = new ValueTask(this, _core.Version);
        }

        _cancellation = cancellation.UnsafeRegister(static (signal, token) => ((AsyncSignal)signal!).Cancel(token), this);
        return waiting;
    }

    void IValueTaskSource.GetResult(short token)
    {
        _cancellation.Unregister();
        _core.GetResult(token);
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void Cancel(CancellationToken cancellation)
    {
        lock (_gate)
        {
            if (!_isAwaited)
            {
                return;
            }

            _isAwaited = false;
        }

        _core.SetException(new OperationCanceledException(cancellation));
    }
}
