using System.IO.Pipelines;

namespace KvStore.Protocol;

/// <summary>
/// The writing half of a connection. Whoever has something to send encodes it into the collecting buffer under the lock; one loop
/// swaps buffers and writes everything collected meanwhile at once, so a burst of sends costs one flush. The lock is the owner's:
/// what is collected and the owner's books change together.
/// </summary>
internal sealed class OutboundFrames
{
    /// <summary>
    /// Writes one behind the other by one thread, which may be one that others wait for (<see cref="SendTurn"/>): some microseconds each. Then
    /// the pool goes on.
    /// </summary>
    internal const int MostWrites = 4;

    private readonly Lock _gate;
    private readonly PipeWriter _output;
    private readonly Signal _wake = new();
    private FrameWriter _collecting = new();
    private FrameWriter _writing = new();

    public OutboundFrames(PipeWriter output, Lock gate)
    {
        _output = output;
        _gate = gate;
    }

    /// <summary>Under the lock. Bytes handed to the transport are no longer counted.</summary>
    public int WaitingBytes => _collecting.WrittenBytes;

    /// <summary>Under the lock: the buffer to encode into; call <see cref="Wake"/> afterwards.</summary>
    public FrameWriter Collecting => _collecting;

    public void Wake() => SendTurn.Wake(_wake);

    /// <summary>Writes until <see cref="End"/> or until the transport ends. What is collected before End is still written.</summary>
    /// <param name="handingOver">Called under the lock, just before the first byte of what was collected goes to the transport.</param>
    /// <param name="written">Called when the transport has taken it.</param>
    public async Task RunAsync(Action handingOver, Action? written = null)
    {
        bool open = true;
        int writes = 0;
        while (open)
        {
            open = await _wake.WaitAsync().ConfigureAwait(false);
            while (TrySwap(handingOver))
            {
                var result = await _output.WriteAsync(_writing.Written).ConfigureAwait(false);
                _writing.Clear();
                written?.Invoke();
                if (result.IsCompleted || result.IsCanceled)
                {
                    return;
                }

                // Others may collect as fast as this is written.
                if (++writes % MostWrites == 0)
                {
                    await Task.Yield();
                }
            }

            writes = 0;
        }
    }

    /// <summary>No more will be collected; the loop writes the rest and ends.</summary>
    public void End() => _wake.End();

    /// <summary>When both loops have ended: gives the buffers back to the pool.</summary>
    public void ReturnBuffers()
    {
        lock (_gate)
        {
            _collecting.Release();
            _writing.Release();
        }
    }

    private bool TrySwap(Action handingOver)
    {
        lock (_gate)
        {
            if (_collecting.WrittenBytes == 0)
            {
                return false;
            }

            (_collecting, _writing) = (_writing, _collecting);
            handingOver();
            return true;
        }
    }
}
