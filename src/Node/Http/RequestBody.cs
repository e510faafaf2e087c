using System.Buffers;
using System.IO.Pipelines;

namespace KvStore.Node.Http;

/// <summary>
/// Reads a request body into one exactly sized array: the bytes live on in the log and in the table, so they are copied once.
/// </summary>
internal static class RequestBody
{
    /// <summary>Null when the body is larger than the limit; a declared length over it is refused before anything is read.</summary>
    public static ValueTask<byte[]?> ReadAsync(HttpRequest request, int limitBytes, CancellationToken cancellationToken) =>
        request.ContentLength switch
        {
            null => ReadChunkedAsync(request.BodyReader, limitBytes, cancellationToken),
            0 => ValueTask.FromResult<byte[]?>([]),
            long length when length > limitBytes => ValueTask.FromResult<byte[]?>(null),
            long length => ReadExactlyAsync(request.BodyReader, (int)length, cancellationToken),
        };

    private static async ValueTask<byte[]?> ReadExactlyAsync(PipeReader reader, int length, CancellationToken cancellationToken)
    {
        byte[] body = new byte[length];
        int filled = 0;
        while (filled < length)
        {
            ReadResult read = await reader.ReadAsync(cancellationToken);
            read.Buffer.CopyTo(body.AsSpan(filled));
            filled += (int)read.Buffer.Length;
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted && filled < length)
            {
                throw new BadHttpRequestException("The body ended before its Content-Length.");
            }
        }

        return body;
    }

    private static async ValueTask<byte[]?> ReadChunkedAsync(PipeReader reader, int limitBytes, CancellationToken cancellationToken)
    {
        ArrayBufferWriter<byte> body = new();
        while (true)
        {
            ReadResult read = await reader.ReadAsync(cancellationToken);
            if (body.WrittenCount + read.Buffer.Length > limitBytes)
            {
                reader.AdvanceTo(read.Buffer.End);
                return null;
            }

            foreach (ReadOnlyMemory<byte> part in read.Buffer)
            {
                body.Write(part.Span);
            }

            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return body.WrittenSpan.ToArray();
            }
        }
    }
}
