using System.IO.Pipelines;

namespace KvStore.Protocol.Tests;

/// <summary>Two ends of a connection in memory. What one end writes the other reads.</summary>
internal sealed class DuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
{
    public PipeReader Input { get; } = input;

    public PipeWriter Output { get; } = output;

    /// <param name="pauseAt">Bytes nobody has read at which writing waits.</param>
    public static (DuplexPipe Near, DuplexPipe Far) Create(int pauseAt = 64 << 10)
    {
        var options = new PipeOptions(pauseWriterThreshold: pauseAt, resumeWriterThreshold: pauseAt / 2, useSynchronizationContext: false);
        var there = new Pipe(options);
        var back = new Pipe(options);
        return (new DuplexPipe(back.Reader, there.Writer), new DuplexPipe(there.Reader, back.Writer));
    }
}
