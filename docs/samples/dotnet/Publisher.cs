using System.Text.Json;
using Azure.Messaging.ServiceBus;

namespace Samples;

/// <summary>Publishes order events. Not compiled and not run here; see ../README.md.</summary>
public sealed class Publisher(ServiceBusClient client) : IAsyncDisposable
{
    private readonly ServiceBusSender sender = client.CreateSender("orders");

    /// <param name="id">
    /// The event's id. Take it from where the order was stored, not from here: whoever calls again after a
    /// lost answer has to pass the same one.
    /// </param>
    public async Task PublishAsync(OrderCreatedEvent order, string scope, Guid id, CancellationToken cancel)
    {
        var message = new ServiceBusMessage(
            BinaryData.FromBytes(JsonSerializer.SerializeToUtf8Bytes(order, OrderCreatedEvent.Json)))
        {
            // The topic drops a message id that it has seen within its window.
            MessageId = id.ToString(),
            // Messages of one session keep their order. scope/stream is Tidemark's stream.
            SessionId = $"{scope}/{order.OrderId}",
            Subject = nameof(OrderCreatedEvent),
            ContentType = "application/json",
            ApplicationProperties =
            {
                ["cloudEvents_specversion"] = "1.0",
                ["cloudEvents_id"] = id.ToString(),
                ["cloudEvents_source"] = $"/orders/{scope}",
                ["cloudEvents_type"] = nameof(OrderCreatedEvent),
                ["cloudEvents_subject"] = order.OrderId,
                ["cloudEvents_time"] = DateTimeOffset.UtcNow.ToString("O"),
                ["cloudEvents_scope"] = scope,
                ["cloudEvents_schemaversion"] = "1",
                ["cloudEvents_author"] = "dotnet-sample",
            },
        };
        // Subject, SessionId, MessageId and the body are enough: see docs/bus.md for what is then assumed.
        await sender.SendMessageAsync(message, cancel);
    }

    public ValueTask DisposeAsync() => sender.DisposeAsync();
}
