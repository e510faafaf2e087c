using System.Buffers;
using System.IO.Pipelines;

namespace KvStore.Node.Http;

/// <summary>
/// Reads a request body into one exactly sized array: the bytes live on in the log and in the table, so they are copied once.
/// </summary>
internal static class RequestBody
{
    /// <summary>Null when the body is larger than the limit; a declared length over it is refused before anything is read.</summary>
    /// <exception cref="BadHttpRequestException">The body is not one: it ends early, or says a length of a chunk that cannot be.</exception>
    public static async ValueTask<byte[]?> ReadAsync(HttpRequest request, int limitBytes, CancellationToken cancellationToken)
    {
        try
        {
            return request.ContentLength switch
            {
                null => await ReadChunkedAsync(request.BodyReader, limitBytes, cancellationToken),
                0 => [],
                long length when length > limitBytes => null,
                long length => await ReadExactlyAsync(request.BodyReader, (int)length, cancellationToken),
            };
        }
        catch (Exception error) when (error is ArithmeticException or ArgumentException or InvalidDataException
            or IOException { InnerException: ArithmeticException })
        {
            // What the server's parser throws at sizes that fit into none of its numbers.
            throw new BadHttpRequestException("The body says a length that cannot be.", error);
        }
    }

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
